//! What the files hold, read from the store alone: names and Parquet footers.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;

use crate::quickstart::generator::records_by_partition;
use crate::quickstart::job::{Job, Target};
use crate::quickstart::progress::{Summary, grouped, human};
use crate::settings::Host;
use crate::standalone::ExitError;

/// Bytes from the end of a file that are read at first: more than a footer usually has.
const TAIL_BYTES: u64 = 64 << 10;

/// Footers that are read at once.
const READERS: usize = 16;

/// The store, for reading.
#[derive(Debug)]
pub struct Lake {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

/// The files of one topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    /// By directory below the topic's.
    pub directories: BTreeMap<String, Sum>,
    /// Rows by partition of the topic, as the files' names say.
    pub rows_by_partition: BTreeMap<i32, u64>,
}

/// Files of one directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// Files.
    pub files: u64,
    /// Rows in their footers.
    pub rows: u64,
    /// Their length.
    pub bytes: u64,
}

fn unreadable(what: &dyn std::fmt::Display, error: &dyn std::fmt::Display) -> ExitError {
    ExitError::failure(format!("{what} cannot be read: {error}"))
}

impl Lake {
    /// The store that the job writes to. Credentials come from the environment, as the connector's do.
    ///
    /// # Errors
    /// [`ExitError`] when the URL is none, or the folder is not there.
    pub fn open(job: &Job, host: &Host) -> Result<Self, ExitError> {
        match &job.target {
            Target::Folder(path) => {
                let store = LocalFileSystem::new_with_prefix(path).map_err(|error| unreadable(&path.display(), &error))?;
                Ok(Self { store: Arc::new(store), prefix: Path::default() })
            }
            Target::Store(text) => {
                let url = url::Url::parse(text).map_err(|error| ExitError::failure(format!("--store {text} is not a URL: {error}")))?;
                let options = host.environment.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
                // Whoever gives an endpoint with `http://` means it, as in the sink.
                let is_http = options.clone().any(|(name, value)| name.starts_with("aws_endpoint") && value.starts_with("http://"));
                let options = options.chain(is_http.then(|| ("allow_http".to_owned(), "true".to_owned())));
                let (store, prefix) = object_store::parse_url_opts(&url, options).map_err(|error| unreadable(text, &error))?;
                Ok(Self { store: store.into(), prefix })
            }
        }
    }

    /// Every Parquet file of the topic, by its footer.
    ///
    /// # Errors
    /// [`ExitError`] that names the file that cannot be read.
    pub async fn read(&self, topic: &str) -> Result<Files, ExitError> {
        let root = self.prefix.clone().join("topics").join(topic);
        let listed: Vec<ObjectMeta> = self.store.list(Some(&root)).try_collect().await.map_err(|error| unreadable(&root, &error))?;
        let parquet = listed.into_iter().filter(|object| object.location.as_ref().ends_with(".parquet"));
        let footers = parquet.map(|object| async move { self.rows(&object).await.map(|rows| (object, rows)) });
        let read: Vec<(ObjectMeta, u64)> = futures::stream::iter(footers).buffer_unordered(READERS).try_collect().await?;
        let mut files = Files::default();
        for (object, rows) in read {
            let path = object.location.as_ref();
            let below = path.strip_prefix(root.as_ref()).unwrap_or(path).trim_start_matches('/');
            let (directory, name) = below.rsplit_once('/').unwrap_or(("", below));
            let sum = files.directories.entry(directory.to_owned()).or_default();
            *sum = Sum { files: sum.files + 1, rows: sum.rows + rows, bytes: sum.bytes + object.size };
            let partition = name.rsplit('+').nth(1).and_then(|text| text.parse().ok());
            let partition = partition.ok_or_else(|| ExitError::failure(format!("{path}: the name has no partition")))?;
            *files.rows_by_partition.entry(partition).or_default() += rows;
        }
        Ok(files)
    }

    async fn rows(&self, object: &ObjectMeta) -> Result<u64, ExitError> {
        let failed = |error: &dyn std::fmt::Display| unreadable(&object.location, error);
        let mut wanted = TAIL_BYTES.min(object.size);
        loop {
            let tail: Bytes = self.store.get_range(&object.location, object.size - wanted..object.size).await.map_err(|error| failed(&error))?;
            let mut reader = ParquetMetaDataReader::new();
            match reader.try_parse_sized(&tail, object.size) {
                Ok(()) => {
                    let footer = reader.finish().map_err(|error| failed(&error))?;
                    return u64::try_from(footer.file_metadata().num_rows()).map_err(|error| failed(&error));
                }
                Err(ParquetError::NeedMoreData(more)) if wanted < object.size => wanted = object.size.min((more as u64).max(wanted * 2)),
                Err(error) => return Err(failed(&error)),
            }
        }
    }
}

impl Files {
    fn total(&self) -> Sum {
        let add = |a: Sum, b: &Sum| Sum { files: a.files + b.files, rows: a.rows + b.rows, bytes: a.bytes + b.bytes };
        self.directories.values().fold(Sum::default(), add)
    }

    /// The files by directory, the offsets by partition, and how long it took.
    #[must_use]
    pub fn report(&self, summary: &Summary, job: &Job) -> String {
        let width = self.directories.keys().map(String::len).max().unwrap_or(0).max("total".len());
        let mut text = format!("\n{}\n", job.place());
        // Writing to a text cannot fail.
        let mut line = |name: &str, files: &str, rows: &str, bytes: &str| writeln!(text, "  {name:<width$}  {files:>6}  {rows:>11}  {bytes:>9}").ok();
        line("", "files", "rows", "bytes");
        for (directory, sum) in &self.directories {
            line(directory, &grouped(sum.files), &grouped(sum.rows), &human(sum.bytes));
        }
        let total = self.total();
        line("total", &grouped(total.files), &grouped(total.rows), &human(total.bytes));
        text.push_str("\n  partition    generated    committed offset    rows in files\n");
        for (partition, generated) in (0..).zip(records_by_partition(job.records)) {
            let committed = summary.committed.get(&partition).map_or("-".to_owned(), |offset| grouped(u64::try_from(*offset).unwrap_or(0)));
            let rows = self.rows_by_partition.get(&partition).copied().unwrap_or(0);
            writeln!(text, "  {partition:>9}  {:>11}  {committed:>18}  {:>15}", grouped(generated), grouped(rows)).ok();
        }
        let seconds = summary.elapsed.as_secs_f64();
        writeln!(
            text,
            "\n{} records ({} of JSON) in {seconds:.1} s, {} records/s",
            grouped(job.records),
            human(summary.consumed_bytes),
            grouped((job.records as f64 / seconds.max(0.001)) as u64)
        )
        .ok();
        text
    }

    /// The rows in the files are the records that were generated, partition by partition.
    ///
    /// # Errors
    /// [`ExitError`] that names the first partition where they are not.
    pub fn check(&self, records: u64) -> Result<(), ExitError> {
        for (partition, generated) in (0..).zip(records_by_partition(records)) {
            let rows = self.rows_by_partition.get(&partition).copied().unwrap_or(0);
            if rows != generated {
                return Err(ExitError::failure(format!("partition {partition}: {generated} records were generated, but the files hold {rows}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use parquet::arrow::ArrowWriter;

    fn file(rows: i64) -> Bytes {
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let batch = RecordBatch::try_from_iter([("id", ids)]).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes.into()
    }

    async fn lake(files: &[(&str, i64)]) -> Files {
        let store = Arc::new(object_store::memory::InMemory::new());
        for (path, rows) in files {
            store.put(&Path::from(format!("p/topics/t/{path}")), file(*rows).into()).await.unwrap();
        }
        store.put(&Path::from("p/topics/t2/x+0+0.parquet"), file(9).into()).await.unwrap();
        Lake { store, prefix: Path::from("p") }.read("t").await.unwrap()
    }

    #[tokio::test]
    async fn rows_are_counted_from_footers_by_directory_and_partition() {
        let files =
            lake(&[("hour=00/t+0+0000000000.snappy.parquet", 2), ("hour=00/t+1+0000000000.snappy.parquet", 2), ("hour=01/t+0+0000000002.parquet", 30_000)])
                .await;
        assert_eq!(files.directories.iter().map(|(d, s)| (d.as_str(), s.files, s.rows)).collect::<Vec<_>>(), [("hour=00", 2, 4), ("hour=01", 1, 30_000)]);
        assert_eq!(files.rows_by_partition, BTreeMap::from([(0, 30_002), (1, 2)]));
    }

    #[tokio::test]
    async fn a_missing_or_doubled_row_is_found() {
        let six = ["t+0+0.parquet", "t+1+0.parquet", "t+2+0.parquet", "t+3+0.parquet", "t+4+0.parquet", "t+5+0.parquet"];
        let rows = [2, 2, 1, 1, 1, 1];
        let mut files: Vec<(&str, i64)> = six.into_iter().zip(rows).collect();
        assert_eq!(lake(&files).await.check(8), Ok(()));
        files[3].1 = 2;
        assert_eq!(lake(&files).await.check(8).unwrap_err().message, "partition 3: 1 records were generated, but the files hold 2");
        files.truncate(3);
        assert_eq!(lake(&files).await.check(8).unwrap_err().message, "partition 3: 1 records were generated, but the files hold 0");
    }
}
