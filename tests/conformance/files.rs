//! What is in the files: rows, the offsets that they came from, schemas.

use std::fmt::Write as _;
use std::io::Read as _;

use bytes::Bytes;
use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::schema::types::Type;

use super::avro;
use super::records::marked;
use super::store::Object;

/// A file by what its first bytes say.
pub(crate) enum Contents {
    Avro(avro::File),
    Parquet { schema: String, footer: Vec<String>, rows: Vec<String> },
    Text(String),
}

impl Contents {
    /// Reads a file; gzip around it is taken off.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.starts_with(&[0x1f, 0x8b]) {
            let mut plain = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut plain).map_err(|e| e.to_string())?;
            return Self::read(&plain);
        }
        if bytes.starts_with(b"Obj\x01") {
            return avro::read(bytes).map(Self::Avro);
        }
        if bytes.starts_with(b"PAR1") {
            let reader = SerializedFileReader::new(Bytes::copy_from_slice(bytes)).map_err(|e| e.to_string())?;
            let metadata = reader.metadata().file_metadata();
            let footer = metadata.key_value_metadata().into_iter().flatten().map(|pair| pair.key.clone()).collect();
            let schema = message(metadata.schema());
            // A codec or a type that the row reader does not know leaves the number of rows, which the footer has.
            let count = usize::try_from(metadata.num_rows()).unwrap_or(0);
            let rows = reader.get_row_iter(None).and_then(|rows| rows.map(|row| row.map(|row| row.to_string())).collect::<Result<Vec<_>, _>>());
            return Ok(Self::Parquet { schema, footer, rows: rows.unwrap_or_else(|_| vec![String::new(); count]) });
        }
        Ok(Self::Text(String::from_utf8_lossy(bytes).into_owned()))
    }

    fn rows(&self) -> Vec<String> {
        match self {
            Self::Avro(file) => file.rows.iter().map(ToString::to_string).collect(),
            Self::Parquet { rows, .. } => rows.clone(),
            Self::Text(text) => text.lines().map(str::to_owned).collect(),
        }
    }
}

/// The offsets of an object's rows: by their marks; without them by what the object says of itself, as far as that leaves no choice.
pub(crate) fn offsets(object: &Object, delivered: &[i64]) -> Result<Vec<i64>, String> {
    let contents = Contents::read(&object.bytes)?;
    if let Contents::Text(text) = &contents {
        let mut offsets = marked(text);
        offsets.dedup();
        if !offsets.is_empty() {
            return Ok(offsets);
        }
    }
    let rows = contents.rows();
    let marks = rows.iter().map(|row| {
        let mut offsets = marked(row);
        offsets.dedup();
        <[i64; 1]>::try_from(offsets).ok().map(|[offset]| offset)
    });
    if let Some(offsets) = marks.collect::<Option<Vec<_>>>().filter(|offsets| !offsets.is_empty()) {
        return Ok(offsets);
    }
    let range = object.attributes.get("lakehead-offsets").and_then(|text| text.split_once(".."));
    let range = range.and_then(|(start, end)| Some(start.parse::<i64>().ok()?..end.parse::<i64>().ok()?)).ok_or("neither marks nor lakehead-offsets")?;
    let count: usize = object.attributes.get("lakehead-rows").and_then(|rows| rows.parse().ok()).unwrap_or(rows.len());
    if count != rows.len() && !matches!(contents, Contents::Text(_)) {
        return Err(format!("{} rows, and lakehead-rows says {count}", rows.len()));
    }
    let candidates: Vec<i64> = delivered.iter().copied().filter(|offset| range.contains(offset)).collect();
    match count {
        _ if count == candidates.len() => Ok(candidates),
        1 if range.end == range.start + 1 => Ok(vec![range.start]),
        2 => Ok(vec![range.start, range.end - 1]),
        _ => Err(format!("{count} rows of offsets {}..{}", range.start, range.end)),
    }
}

/// A Parquet schema in parquet-java's words, on one line.
fn message(schema: &Type) -> String {
    let mut text = format!("message {} {{ ", schema.name());
    schema.get_fields().iter().for_each(|field| print(field, &mut text));
    text.push('}');
    text
}

fn print(field: &Type, text: &mut String) {
    let info = field.get_basic_info();
    let repetition = match info.repetition() {
        Repetition::REQUIRED => "required",
        Repetition::OPTIONAL => "optional",
        Repetition::REPEATED => "repeated",
    };
    let annotation = info.logical_type_ref().map_or_else(|| converted(field), logical);
    let annotation = annotation.map_or_else(String::new, |annotation| format!(" ({annotation})"));
    let outcome = match field {
        Type::PrimitiveType { physical_type, type_length, .. } => {
            let physical = match physical_type {
                Physical::BOOLEAN => "boolean".to_owned(),
                Physical::INT32 => "int32".to_owned(),
                Physical::INT64 => "int64".to_owned(),
                Physical::INT96 => "int96".to_owned(),
                Physical::FLOAT => "float".to_owned(),
                Physical::DOUBLE => "double".to_owned(),
                Physical::BYTE_ARRAY => "binary".to_owned(),
                Physical::FIXED_LEN_BYTE_ARRAY => format!("fixed_len_byte_array({type_length})"),
            };
            write!(text, "{repetition} {physical} {}{annotation}; ", info.name())
        }
        Type::GroupType { fields, .. } => {
            let opened = write!(text, "{repetition} group {}{annotation} {{ ", info.name());
            fields.iter().for_each(|field| print(field, text));
            text.push_str("} ");
            opened
        }
    };
    outcome.unwrap_or_default();
}

fn logical(logical: &LogicalType) -> Option<String> {
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::MILLIS => "MILLIS",
        TimeUnit::MICROS => "MICROS",
        TimeUnit::NANOS => "NANOS",
    };
    Some(match logical {
        LogicalType::String => "STRING".to_owned(),
        LogicalType::Map => "MAP".to_owned(),
        LogicalType::List => "LIST".to_owned(),
        LogicalType::Enum => "ENUM".to_owned(),
        LogicalType::Date => "DATE".to_owned(),
        LogicalType::Decimal(decimal) => format!("DECIMAL({},{})", decimal.precision, decimal.scale),
        LogicalType::Time(time) => format!("TIME({},{})", unit(&time.unit), time.is_adjusted_to_u_t_c),
        LogicalType::Timestamp(timestamp) => format!("TIMESTAMP({},{})", unit(&timestamp.unit), timestamp.is_adjusted_to_u_t_c),
        LogicalType::Integer(integer) => format!("INTEGER({},{})", integer.bit_width, integer.is_signed),
        LogicalType::Json => "JSON".to_owned(),
        other => format!("{other:?}"),
    })
}

fn converted(field: &Type) -> Option<String> {
    match field.get_basic_info().converted_type() {
        ConvertedType::NONE => None,
        ConvertedType::UTF8 => Some("STRING".to_owned()),
        ConvertedType::TIME_MILLIS => Some("TIME(MILLIS,true)".to_owned()),
        ConvertedType::TIMESTAMP_MILLIS => Some("TIMESTAMP(MILLIS,true)".to_owned()),
        ConvertedType::DECIMAL => match field {
            Type::PrimitiveType { precision, scale, .. } => Some(format!("DECIMAL({precision},{scale})")),
            Type::GroupType { .. } => None,
        },
        other => Some(other.to_string()),
    }
}

/// One way to write a schema's text: single spaces, none before signs, upper-case annotations.
pub(crate) fn normal(schema: &str) -> String {
    let spaced = schema.replace('{', " { ").replace('}', " } ").replace(';', " ; ").replace("(UTF8)", "(STRING)");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let joined = words.join(" ").replace(" ;", ";").replace(", ", ",").replace("( ", "(").replace(" )", ")").replace(" {", "{").replace("isAdjustedToUTC=", "");
    joined.replace("{ ", "{").replace(" }", "}").replace("; ", ";")
}

pub(crate) fn schemas_are_printed_as_parquet_java_does() {
    let text = "message r { required group l (LIST) { repeated group array { required binary key (STRING); optional int64 t (TIMESTAMP(MILLIS,true)); } } }";
    let parsed = parquet::schema::parser::parse_message_type(text).expect("a schema");
    assert_eq!(normal(&message(&parsed)), normal(text));
    assert_eq!(normal("message r {\n  optional binary a (STRING);\n}"), normal("message r { optional binary a (STRING); }"));
}
