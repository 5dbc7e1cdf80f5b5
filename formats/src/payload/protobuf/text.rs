//! A Protobuf file as text, in the form that Confluent's registry keeps (`ProtobufSchema#canonicalString`).

/// A file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) package: Option<String>,
    pub(super) imports: Vec<&'static str>,
    pub(super) message: Message,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    pub(super) oneofs: Vec<(String, Vec<Field>)>,
    pub(super) messages: Vec<Self>,
    pub(super) enums: Vec<Enum>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) label: Option<&'static str>,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) number: u32,
    /// Of `(confluent.field_meta)`.
    pub(super) params: Vec<(&'static str, String)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Enum {
    pub(super) name: String,
    pub(super) values: Vec<(String, i32)>,
}

/// Google's wrappers of scalars, by their numbers in the file.
pub(super) const WRAPPERS: [(&str, &str); 9] = [
    ("DoubleValue", "double"),
    ("FloatValue", "float"),
    ("Int64Value", "int64"),
    ("UInt64Value", "uint64"),
    ("Int32Value", "int32"),
    ("UInt32Value", "uint32"),
    ("BoolValue", "bool"),
    ("StringValue", "string"),
    ("BytesValue", "bytes"),
];

/// `google/protobuf/wrappers.proto`.
pub(super) fn wrappers() -> String {
    let mut text = String::from(
        "syntax = \"proto3\";\npackage google.protobuf;\n\noption java_package = \"com.google.protobuf\";\noption java_outer_classname = \"WrappersProto\";\n\
         option java_multiple_files = true;\noption go_package = \"google.golang.org/protobuf/types/known/wrapperspb\";\noption cc_enable_arenas = true;\n\
         option objc_class_prefix = \"GPB\";\noption csharp_namespace = \"Google.Protobuf.WellKnownTypes\";\n\n",
    );
    for (name, kind) in WRAPPERS {
        text.push_str(&format!("message {name} {{\n  {kind} value = 1 [json_name = \"value\"];\n}}\n"));
    }
    text
}

impl File {
    pub(super) fn text(&self) -> String {
        let mut text = String::from("syntax = \"proto3\";\n");
        if let Some(package) = &self.package {
            text.push_str(&format!("package {package};\n"));
        }
        if !self.imports.is_empty() {
            text.push('\n');
        }
        self.imports.iter().for_each(|import| text.push_str(&format!("import \"{import}\";\n")));
        text.push('\n');
        self.message.push(0, &mut text);
        text
    }
}

fn line(depth: usize, line: &str, out: &mut String) {
    out.push_str(&"  ".repeat(depth));
    out.push_str(line);
    out.push('\n');
}

impl Message {
    fn push(&self, depth: usize, out: &mut String) {
        let mut is_first = true;
        // A blank line stands between what is of one kind and what is of the next.
        let mut apart = |is_empty: bool, out: &mut String| {
            if !is_empty && !std::mem::replace(&mut is_first, false) {
                line(depth, "", out);
            }
        };
        line(depth, &format!("message {} {{", self.name), out);
        apart(self.fields.is_empty(), out);
        self.fields.iter().for_each(|field| field.push(depth + 1, out));
        apart(self.oneofs.is_empty(), out);
        for (name, fields) in &self.oneofs {
            line(depth + 1, &format!("oneof {name} {{"), out);
            fields.iter().for_each(|field| field.push(depth + 2, out));
            line(depth + 1, "}", out);
        }
        apart(self.messages.is_empty() && self.enums.is_empty(), out);
        self.messages.iter().for_each(|message| message.push(depth + 1, out));
        for Enum { name, values } in &self.enums {
            line(depth + 1, &format!("enum {name} {{"), out);
            values.iter().for_each(|(symbol, number)| line(depth + 2, &format!("{symbol} = {number};"), out));
            line(depth + 1, "}", out);
        }
        line(depth, "}", out);
    }
}

impl Field {
    fn push(&self, depth: usize, out: &mut String) {
        let mut text = String::new();
        if let Some(label) = self.label {
            text.push_str(label);
            text.push(' ');
        }
        text.push_str(&format!("{} {} = {}", self.kind, self.name, self.number));
        if self.params.is_empty() {
            return line(depth, &format!("{text};"), out);
        }
        line(depth, &format!("{text} [(confluent.field_meta) = {{"), out);
        line(depth + 1, "params: [", out);
        for (at, (key, value)) in self.params.iter().enumerate() {
            let comma = if at + 1 < self.params.len() { "," } else { "" };
            let (key_line, value_line) = (format!("key: \"{key}\""), format!("value: \"{value}\""));
            // Upstream writes these two the other way round, as it once began to.
            let (first, second) = if matches!(*key, "precision" | "scale") { (value_line, key_line) } else { (key_line, value_line) };
            line(depth + 2, "{", out);
            line(depth + 3, &format!("{first},"), out);
            line(depth + 3, &second, out);
            line(depth + 2, &format!("}}{comma}"), out);
        }
        line(depth + 1, "]", out);
        line(depth, "}];", out);
    }
}
