//! Values under a schema as values without one: structs and maps as maps, lists as lists, leaves as the classes that Java has for them.
//!
//! Only what somebody is going to look at is converted ([`Wanted`]), and leaves keep their arrays: no value is copied but those of decimals, which have no lane
//! of their own, and of logical types, which all are instants.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, MapArray, Scalar, StringArray, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, nullif, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit};
use arrow::error::ArrowError;

use super::{Dynamic, Kind, narrowed};
use crate::column::Column;
use crate::wire::json::default_value;

/// Which members of maps somebody looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All, and all that is in them.
    All,
    /// These.
    Members(BTreeMap<String, Self>),
}

impl Default for Wanted {
    fn default() -> Self {
        Self::Members(BTreeMap::new())
    }
}

impl Wanted {
    /// Adds what these names lead to, with all that is in it.
    pub fn add(&mut self, names: &[&str]) {
        match (self, names) {
            (Self::All, _) => {}
            (whole, []) => *whole = Self::All,
            (Self::Members(members), [first, rest @ ..]) => members.entry((*first).to_owned()).or_default().add(rest),
        }
    }

    /// Adds what these names lead to: what it is, and nothing of what is in it.
    pub fn touch(&mut self, names: &[&str]) {
        if let (Self::Members(members), [first, rest @ ..]) = (self, names) {
            members.entry((*first).to_owned()).or_default().touch(rest);
        }
    }

    fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::All => Some(self),
            Self::Members(members) => members.get(name),
        }
    }
}

impl Dynamic {
    /// The values of a column under a schema: a null field that has a default is that default, as `Struct.get` has it.
    ///
    /// # Errors
    /// When a type has no class in Java, which none of Connect's lacks.
    pub fn of_schema(column: &Column, wanted: &Wanted) -> Result<Self, ArrowError> {
        of_array(&column.field, &narrowed(&column.array)?, wanted)
    }
}

/// Cells that the maps of a column have as members of their own: each key has a column of all rows.
#[must_use]
pub fn map_cells(array: &dyn Array) -> usize {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().map(|column| map_cells(column)).sum(),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            map_cells(&own_items(list.value_offsets(), list.values()))
        }
        DataType::Map(..) => {
            let map = array.as_map();
            let entries = own_items(map.value_offsets(), map.entries());
            let [keys, values] = entries.as_struct().columns() else { return 0 };
            let distinct = keys.as_string_opt::<i32>().map_or(0, |keys| keys.iter().collect::<HashSet<_>>().len());
            distinct * array.len() + map_cells(values)
        }
        _ => 0,
    }
}

fn own_items(offsets: &[i32], items: &dyn Array) -> ArrayRef {
    let at = |offset: Option<&i32>| offset.and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    items.slice(at(offsets.first()), at(offsets.last()) - at(offsets.first()))
}

fn of_array(field: &Field, array: &ArrayRef, wanted: &Wanted) -> Result<Dynamic, ArrowError> {
    let scalar = |kind: Kind, lane: ArrayRef| {
        Dynamic::scalar(kind, lane).ok_or_else(|| ArrowError::InvalidArgumentError(format!("{} \"{}\" has no class in Java", field.data_type(), field.name())))
    };
    let instants = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    Ok(match field.data_type() {
        DataType::Boolean => scalar(Kind::Boolean, Arc::clone(array))?,
        DataType::Int8 => scalar(Kind::Int8, Arc::clone(array))?,
        DataType::Int16 => scalar(Kind::Int16, Arc::clone(array))?,
        DataType::Int32 => scalar(Kind::Int32, Arc::clone(array))?,
        DataType::Int64 => scalar(Kind::Int64, Arc::clone(array))?,
        DataType::Float32 => scalar(Kind::Float32, Arc::clone(array))?,
        DataType::Float64 => scalar(Kind::Float64, Arc::clone(array))?,
        DataType::Utf8 => scalar(Kind::String, Arc::clone(array))?,
        DataType::Binary => scalar(Kind::Bytes, Arc::clone(array))?,
        DataType::Decimal128(..) | DataType::Decimal256(..) => scalar(Kind::Decimal, cast(array, &DataType::Utf8)?)?,
        DataType::Time32(TimeUnit::Millisecond) => scalar(Kind::Date, cast(&cast(&cast(array, &DataType::Int32)?, &DataType::Int64)?, &instants)?)?,
        DataType::Date32 | DataType::Timestamp(..) => scalar(Kind::Date, cast(array, &instants)?)?,
        DataType::Struct(fields) => structs(fields, array, wanted)?,
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let items = of_array(item, list.values(), wanted)?;
            let field = Arc::new(Field::new("item", items.0.data_type().clone(), false));
            let lane = arrow::array::ListArray::try_new(field, list.offsets().clone(), Arc::new(items.0), None)?;
            Dynamic::assemble(kinds(Kind::List, array.len(), array.nulls()), vec![(Kind::List, Arc::new(lane))])
        }
        DataType::Map(entries, _) => maps(entries, array.as_map(), wanted)?,
        DataType::Null => Dynamic::none(Kind::Null, array.len()),
        other => return Err(ArrowError::InvalidArgumentError(format!("{other} \"{}\" has no class in Java", field.name()))),
    })
}

/// Rows of a kind, null where they are.
fn kinds(kind: Kind, rows: usize, nulls: Option<&NullBuffer>) -> Vec<u8> {
    match nulls {
        None => vec![kind as u8; rows],
        Some(nulls) => nulls.iter().map(|valid| if valid { kind } else { Kind::Null } as u8).collect(),
    }
}

/// Rows of maps with these members, which are absent where a row is null.
fn assembled(members: Vec<(Arc<str>, Dynamic)>, rows: usize, nulls: Option<&NullBuffer>) -> Result<Dynamic, ArrowError> {
    let members = match nulls.filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => members.into_iter().map(|(name, member)| Ok((name, member.only(nulls.inner())?))).collect::<Result<_, ArrowError>>()?,
        None => members,
    };
    let lane = Dynamic::map(members, rows)?.lane(Kind::Map).map(Arc::clone);
    Ok(Dynamic::assemble(kinds(Kind::Map, rows, nulls), lane.map(|lane| (Kind::Map, lane)).into_iter().collect()))
}

fn structs(fields: &Fields, array: &ArrayRef, wanted: &Wanted) -> Result<Dynamic, ArrowError> {
    let rows = array.as_struct();
    let mut members = Vec::new();
    for (field, values) in fields.iter().zip(rows.columns()) {
        let Some(wanted) = wanted.member(field.name()) else { continue };
        members.push((Arc::from(field.name().as_str()), of_array(field, &with_default(field, values)?, wanted)?));
    }
    assembled(members, rows.len(), rows.nulls())
}

fn with_default(field: &FieldRef, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
    match (nulls, default_value(field)) {
        (Some(nulls), Some(default)) => zip(&BooleanArray::new(nulls.inner().clone(), None), array, &Scalar::new(default)),
        _ => Ok(Arc::clone(array)),
    }
}

/// Maps with texts as keys: a member for each key, of which each row has at most one entry. Those with other keys are no objects: nothing in them has a name.
fn maps(entries: &Field, map: &MapArray, wanted: &Wanted) -> Result<Dynamic, ArrowError> {
    let (DataType::Struct(fields), Some(keys)) = (entries.data_type(), map.keys().as_string_opt::<i32>()) else {
        return assembled(Vec::new(), map.len(), map.nulls());
    };
    let Some(value) = fields.get(1) else { return assembled(Vec::new(), map.len(), map.nulls()) };
    // Which entry a row has of a key is not in any column: a loop over the entries tells.
    let mut places: BTreeMap<&str, Vec<Option<u32>>> = BTreeMap::new();
    for row in (0..map.len()).filter(|row| map.is_valid(*row)) {
        for entry in entries_of(map, row).filter(|entry| keys.is_valid(*entry)) {
            let key = keys.value(entry);
            if wanted.member(key).is_some() {
                let rows = places.entry(key).or_insert_with(|| vec![None; map.len()]);
                rows.get_mut(row).into_iter().for_each(|place| *place = u32::try_from(entry).ok());
            }
        }
    }
    let mut members = Vec::new();
    for (key, places) in places {
        let there = BooleanBuffer::collect_bool(places.len(), |row| places.get(row).is_some_and(Option::is_some));
        let values = take(map.values(), &UInt32Array::from(places), None)?;
        let member = of_array(value, &values, wanted.member(key).unwrap_or(wanted))?;
        members.push((Arc::from(key), member.only(&there)?));
    }
    assembled(members, map.len(), map.nulls())
}

fn entries_of(map: &MapArray, row: usize) -> std::ops::Range<usize> {
    let at = |row: usize| map.value_offsets().get(row).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

impl Dynamic {
    /// The texts of the rows that are strings, null where rows are something else.
    ///
    /// # Errors
    /// When the lane is no array of texts, which is a defect.
    pub fn texts(&self) -> Result<StringArray, ArrowError> {
        let Some(lane) = self.lane(Kind::String) else { return Ok(StringArray::new_null(self.len())) };
        let others = BooleanArray::new(!&self.are(Kind::String), None);
        Ok(nullif(lane, &others)?.as_string::<i32>().clone())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::BinaryArray;

    use super::*;
    use crate::schema::from_connect_json;
    use crate::wire::{self, Want};

    const SCHEMA: &str = r#"{"type":"struct","optional":true,"fields":[
        {"field":"n","type":"int32","optional":true,"default":7},{"field":"s","type":"string","optional":true},
        {"field":"in","type":"struct","optional":true,"fields":[{"field":"f","type":"double","optional":true},{"field":"b","type":"boolean"}]},
        {"field":"l","type":"array","optional":true,"items":{"type":"struct","fields":[{"field":"x","type":"int64"}]}},
        {"field":"m","type":"map","optional":true,"keys":{"type":"string"},"values":{"type":"int16"}},
        {"field":"d","type":"bytes","optional":true,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"}}]}"#;
    const ROWS: [&str; 3] = [
        r#"{"n":1,"s":"x","in":{"f":1.5,"b":true},"l":[{"x":1},{"x":2}],"m":{"k":1,"j":2},"d":"ew=="}"#,
        "null",
        r#"{"n":null,"s":null,"in":null,"l":[],"m":{"j":3},"d":null}"#,
    ];

    fn column() -> Column {
        let options = [("schemas.enable", "false"), ("schema.content", SCHEMA), ("replace.null.with.default", "false")];
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let mut converter = (wire::find("json").unwrap().build)(&options, false, Want::Any).unwrap();
        let payloads: BinaryArray = ROWS.iter().map(|row| Some(row.as_bytes()).filter(|row| *row != b"null")).collect();
        let mut decoded = converter.decode("t", &payloads).unwrap();
        assert!(decoded.rejects.is_empty() && from_connect_json("", SCHEMA.as_bytes()).is_ok());
        decoded.spans.remove(0).1
    }

    #[test]
    fn structs_are_maps() {
        let values = Dynamic::of_schema(&column(), &Wanted::All).unwrap();
        let json = values.json().unwrap();
        let all = r#"{"n":1,"s":"x","in":{"f":1.5,"b":true},"l":[{"x":1},{"x":2}],"m":{"j":2,"k":1},"d":"1.23"}"#;
        let texts: Vec<_> = json.iter().collect();
        assert_eq!(values.member("d").unwrap().kind(0), Kind::Decimal);
        assert_eq!(texts[0].map(|text| text.replace("\"d\":1.23", "\"d\":\"1.23\"")), Some(all.to_owned()));
        assert_eq!(&texts[1..], [None, Some(r#"{"n":7,"s":null,"in":null,"l":[],"m":{"j":3},"d":null}"#)]);
    }

    #[test]
    fn only_what_is_wanted_is_there() {
        let mut wanted = Wanted::default();
        [&["in", "b"][..], &["m", "k"], &["zz"]].iter().for_each(|names| wanted.add(names));
        let values = Dynamic::of_schema(&column(), &wanted).unwrap();
        let json = values.json().unwrap();
        assert_eq!(json.iter().collect::<Vec<_>>(), [Some(r#"{"in":{"b":true},"m":{"k":1}}"#), None, Some(r#"{"in":null,"m":{}}"#)]);
    }

    #[test]
    fn what_is_wanted_whole_stays_whole() {
        let mut wanted = Wanted::default();
        wanted.add(&["a"]);
        wanted.add(&["a", "b"]);
        wanted.touch(&["a", "b"]);
        assert_eq!(wanted, Wanted::Members([("a".to_owned(), Wanted::All)].into()));
        wanted.add(&[]);
        assert_eq!(wanted, Wanted::All);
    }

    #[test]
    fn each_key_of_maps_has_a_cell_in_each_row() {
        let schema = from_connect_json("value", br#"{"type":"map","keys":{"type":"string"},"values":{"type":"int16"}}"#).unwrap();
        let DataType::Map(..) = schema.data_type() else { panic!("{schema}") };
        let options = [("schemas.enable", "false"), ("schema.content", r#"{"type":"map","keys":{"type":"string"},"values":{"type":"int16"}}"#)];
        let options = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let mut converter = (wire::find("json").unwrap().build)(&options, false, Want::Any).unwrap();
        let payloads = BinaryArray::from_iter_values([r#"{"a":1,"b":2}"#, r#"{"b":3}"#, r#"{"c":4}"#]);
        let maps = converter.decode("t", &payloads).unwrap().spans.remove(0).1.array;
        assert_eq!(map_cells(&maps), 3 * 3);
        assert_eq!((map_cells(&maps.slice(0, 2)), map_cells(&maps.slice(2, 1))), (2 * 2, 1));
    }
}
