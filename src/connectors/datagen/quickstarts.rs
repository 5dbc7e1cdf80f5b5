//! What `quickstart=` names: the shapes of records, as tables, and the schemas that they stand for.

use serde_json::{Value, json};

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Shape {
    /// A whole number, both ends included.
    Int(i32, i32),
    /// A whole number, both ends included.
    Long(i64, i64),
    /// A number between two.
    Double(f64, f64),
    /// The number of the record times a step, after a start.
    IntSteps(i32, i32),
    /// The same with 64 bits.
    LongSteps(i64, i64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A text that this expression describes.
    Pattern(&'static str),
    /// A struct of that name.
    Struct(&'static str, &'static [(&'static str, Self)]),
}

use Shape::{Double, Int, IntSteps, Long, LongSteps, OneOf, Pattern, Struct};

/// Records of one kind.
#[derive(Debug)]
pub(super) struct Quickstart {
    /// What `quickstart` says.
    pub(super) name: &'static str,
    /// The field that is the key unless `schema.keyfield` names another.
    pub(super) key: &'static str,
    /// Full name of the records' schema.
    pub(super) record: &'static str,
    /// Fields of the records.
    pub(super) fields: &'static [(&'static str, Shape)],
}

impl Quickstart {
    /// Its Avro schema, with what its fields hold as annotations.
    pub(super) fn schema(&self) -> String {
        record(self.record, self.fields).to_string()
    }
}

fn record(name: &str, fields: &[(&str, Shape)]) -> Value {
    let fields: Vec<Value> = fields.iter().map(|(name, shape)| json!({"name": name, "type": of(*shape)})).collect();
    json!({"type": "record", "name": name, "fields": fields})
}

fn of(shape: Shape) -> Value {
    let annotated = |kind: &str, properties: Value| json!({"type": kind, "arg.properties": properties});
    match shape {
        Int(first, last) => annotated("int", json!({"range": {"min": first, "max": i64::from(last) + 1}})),
        Long(first, last) => annotated("long", json!({"range": {"min": first, "max": last + 1}})),
        Double(least, most) => annotated("double", json!({"range": {"min": least, "max": most}})),
        IntSteps(start, step) => annotated("int", json!({"iteration": {"start": start, "step": step}})),
        LongSteps(start, step) => annotated("long", json!({"iteration": {"start": start, "step": step}})),
        OneOf(texts) => annotated("string", json!({"options": texts})),
        // Of any length that the expression has.
        Pattern(regex) => annotated("string", json!({"regex": regex, "length": {"min": 0, "max": 100}})),
        Struct(name, fields) => record(name, fields),
    }
}

/// Moments of 2017 and early 2018, in milliseconds.
const TIMES: Shape = Long(1_487_715_775_521, 1_519_273_364_600);
const USER: Shape = Pattern("User_[1-9]");

/// Every quickstart.
pub(super) static QUICKSTARTS: &[Quickstart] = &[
    Quickstart {
        name: "orders",
        key: "orderid",
        record: "ksql.orders",
        fields: &[
            ("ordertime", TIMES),
            ("orderid", IntSteps(0, 1)),
            ("itemid", Pattern("Item_[1-9][0-9]{0,2}")),
            ("orderunits", Double(0.1, 10.0)),
            (
                "address",
                Struct("ksql.address", &[("city", Pattern("City_[1-9]{0,2}")), ("state", Pattern("State_[1-9]{0,2}")), ("zipcode", Long(10_000, 99_999))]),
            ),
        ],
    },
    Quickstart {
        name: "pageviews",
        key: "viewtime",
        record: "ksql.pageviews",
        fields: &[("viewtime", LongSteps(1, 10)), ("userid", USER), ("pageid", Pattern("Page_[1-9][0-9]"))],
    },
    Quickstart {
        name: "ratings",
        key: "rating_id",
        record: "ksql.ratings",
        fields: &[
            ("rating_id", LongSteps(1, 1)),
            ("user_id", Int(-1, 20)),
            ("stars", Int(1, 5)),
            ("route_id", Int(1, 9999)),
            ("rating_time", LongSteps(1, 12)),
            ("channel", OneOf(&["web", "iOS", "ios", "iOS-test", "android"])),
            ("message", OneOf(&["never again", "better than last time", "more than I had hoped for", "fine", "what took so long?", "thank you, all of you"])),
        ],
    },
    Quickstart {
        name: "stock_trades",
        key: "symbol",
        record: "ksql.StockTrade",
        fields: &[
            ("side", OneOf(&["BUY", "SELL", "SHORT"])),
            ("quantity", Int(1, 5000)),
            ("symbol", OneOf(&["ZBZX", "ZJZZT", "ZTEST", "ZVV", "ZVZZT", "ZWZZT", "ZXZZT"])),
            ("price", Int(5, 1000)),
            ("account", OneOf(&["ABC123", "LMN456", "XYZ789"])),
            ("userid", Pattern("User_[1-9]{0,1}")),
        ],
    },
    Quickstart {
        name: "users",
        key: "userid",
        record: "ksql.users",
        fields: &[("registertime", TIMES), ("userid", USER), ("regionid", Pattern("Region_[1-9]")), ("gender", OneOf(&["MALE", "FEMALE", "OTHER"]))],
    },
];

/// The quickstart of that name, in any case.
pub(super) fn find(name: &str) -> Option<&'static Quickstart> {
    QUICKSTARTS.iter().find(|quickstart| quickstart.name.eq_ignore_ascii_case(name.trim()))
}
