//! When files end: the rotation rules under which the rows run.

use crate::worker::Connector;

/// A rotation rule with a partitioner that makes it hurt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// One open file a partition, ended by the wall clock every second.
    Schedule,
    /// Five seconds instead, for files of several parts.
    SlowSchedule,
    /// Four open files a partition, ended by the wall clock or by 200 records.
    SchedulePaths,
    /// The same, each file by itself.
    Apart,
    /// One open file for each hour of the records' own time, some of them late; each ended by itself, by the wall clock or by 200 records.
    LateApart,
    /// Files by the time of processing, a directory a minute, ended by their age or by the wall clock.
    Processing,
    /// 200 records a file, and nothing else.
    Size,
    /// The same with four open files a partition.
    SizePaths,
}

impl Rule {
    /// As the table has it.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Schedule => "every 1 s by the clock",
            Self::SlowSchedule => "every 5 s by the clock, files of several parts",
            Self::SchedulePaths => "every 1 s by the clock or 200 records, 4 paths",
            Self::Apart => "each by itself, every 1 s by the clock or 200 records, 4 paths",
            Self::LateApart => "each by itself, every 1 s by the clock or 200 records, hourly paths, late records",
            Self::Processing => "1 s old, or every 2 s by the clock, paths by the clock",
            Self::Size => "200 records",
            Self::SizePaths => "200 records, 4 paths",
        }
    }

    /// The connector with its settings.
    pub(crate) fn set(self, sink: Connector) -> Connector {
        let scheduled = |ms: &str| sink.clone().with("flush.size", "1000000").with("rotate.schedule.interval.ms", ms).with("timezone", "UTC");
        let by_shard = |sink: Connector| {
            let class = "io.confluent.connect.storage.partitioner.FieldPartitioner";
            sink.with("partitioner.class", class).with("partition.field.name", "shard")
        };
        let by_time = |sink: Connector, format: &str, duration: &str| {
            sink.with("partitioner.class", "io.confluent.connect.storage.partitioner.TimeBasedPartitioner")
                .with("path.format", format)
                .with("partition.duration.ms", duration)
                .with("locale", "en-US")
                .with("timezone", "UTC")
        };
        match self {
            Self::Schedule => scheduled("1000"),
            Self::SlowSchedule => scheduled("5000"),
            Self::SchedulePaths => by_shard(scheduled("1000")).with("flush.size", "200"),
            Self::Apart => by_shard(scheduled("1000")).with("flush.size", "200").with("lakehead.rotation.scope", "path"),
            Self::LateApart => {
                let sink = by_time(scheduled("1000"), "'day'=dd/'hour'=HH", "3600000").with("flush.size", "200");
                sink.with("timestamp.extractor", "RecordField").with("timestamp.field", "at").with("lakehead.rotation.scope", "path")
            }
            Self::Processing => {
                by_time(scheduled("2000"), "'hour'=HH/'minute'=mm", "60000").with("rotate.interval.ms", "1000").with("timestamp.extractor", "Wallclock")
            }
            Self::Size => sink.with("flush.size", "200"),
            Self::SizePaths => by_shard(sink).with("flush.size", "200"),
        }
    }

    /// A number of records that leaves no file open in the end.
    pub(crate) fn multiple(self) -> u64 {
        match self {
            Self::Size => 200,
            Self::SizePaths => 1200, // six records go to four paths: three, one, one and one
            _ => 1,
        }
    }
}
