//! What `quickstart=` names: the shapes of records, as tables.

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
    /// A text of that pattern: letters as they are, `[a-b]` for a character between two, `{m,n}` for that many of them.
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
