//! A proxy before the broker that sees offset commits, and does to them what the store's proxy does to requests.
//!
//! Requests and answers of the Kafka protocol are frames: a length, then, of a request, its key, version and correlation id, of an answer the id. Everything is
//! passed on as it came; of `OffsetCommit` requests the judge of their group is asked, with a line that says what they are: `commit`, then ` plan` when they
//! name files that are about to become visible, and ` advance` when an offset goes on.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use lakehead::batch::OffsetRange;
use lakehead::commit::{Intent, LaneIntent};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::proxy::{Fault, Moment};
use crate::servers::{Kafka, free_port};
use crate::worker::block_on;

/// Key of `OffsetCommit` requests.
const OFFSET_COMMIT: i16 = 8;

/// Says what happens to a commit at each moment.
type Judge = Box<dyn FnMut(Moment, &str) -> Option<Fault> + Send>;

/// A broker behind such a proxy.
pub(crate) struct Watched {
    /// The broker itself.
    pub(crate) kafka: Kafka,
    port: u16,
    judges: Judges,
}

/// Who is asked about a group's commits, and how far the partitions of each group were committed.
type Judges = Arc<Mutex<(HashMap<String, Judge>, HashMap<(String, i32), i64>)>>;

impl Watched {
    /// The one that the rows share; they keep apart by the names of their topics and connectors.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<Watched> = OnceLock::new();
        SHARED.get_or_init(|| {
            let listener = block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
            let (port, upstream) = (listener.local_addr().expect("an address").port(), free_port());
            let kafka = Kafka::start_behind("kafka", upstream, port);
            let judges = Judges::default();
            let judges_of_connections = Arc::clone(&judges);
            block_on(async {
                let accept = async move {
                    while let Ok((client, _)) = listener.accept().await {
                        tokio::spawn(connection(client, upstream, Arc::clone(&judges_of_connections)));
                    }
                };
                drop(tokio::spawn(accept)); // it ends with the program
            });
            Self { kafka, port, judges }
        })
    }

    /// `bootstrap.servers` of those who are watched.
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Asks `judge` what happens to each commit of that group.
    pub(crate) fn judge(&self, group: &str, judge: impl FnMut(Moment, &str) -> Option<Fault> + Send + 'static) {
        self.judges.lock().expect("no judge panics").0.insert(group.to_owned(), Box::new(judge));
    }

    /// Lets the commits of that group pass.
    pub(crate) fn heal(&self, group: &str) {
        self.judges.lock().expect("no judge panics").0.remove(group);
    }
}

/// Commits of a connection that have no answer yet: correlation id → group and line.
type Open = Arc<Mutex<HashMap<i32, (String, String)>>>;

async fn connection(client: TcpStream, upstream: u16, judges: Judges) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", upstream)).await else { return };
    let ((client_in, client_out), (server_in, server_out)) = (client.into_split(), server.into_split());
    let open = Open::default();
    tokio::select! { // whichever side ends, both are dropped and so cut
        _ = requests(client_in, server_out, &judges, &open) => {}
        _ = answers(server_in, client_out, &judges, &open) => {}
    }
}

async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, judges: &Judges, open: &Open) -> std::io::Result<()> {
    loop {
        let frame = read_frame(&mut from).await?;
        if let Some(commit) = Commit::read(&frame) {
            let line = commit.line(&mut judges.lock().expect("no judge panics").1);
            open.lock().expect("no judge panics").insert(commit.correlation, (commit.group.clone(), line.clone()));
            match ask(judges, Moment::Asked, &commit.group, &line) {
                Some(Fault::Hold(gate)) => gate.pass().await,
                Some(Fault::Late(wait)) => tokio::time::sleep(wait).await,
                Some(_) => return Ok(()),
                None => {}
            }
        }
        to.write_all(&frame).await?;
    }
}

async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, judges: &Judges, open: &Open) -> std::io::Result<()> {
    loop {
        let frame = read_frame(&mut from).await?;
        let correlation = frame.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(-1, i32::from_be_bytes);
        let commit = open.lock().expect("no judge panics").remove(&correlation);
        if let Some((group, line)) = &commit {
            match ask(judges, Moment::Done, group, line) {
                Some(Fault::Hold(gate)) => gate.pass().await,
                Some(Fault::Late(wait)) => tokio::time::sleep(wait).await,
                Some(_) => return Ok(()),
                None => {}
            }
        }
        to.write_all(&frame).await?;
        if let Some((group, line)) = commit {
            ask(judges, Moment::Answered, &group, &line);
        }
    }
}

fn ask(judges: &Judges, moment: Moment, group: &str, line: &str) -> Option<Fault> {
    judges.lock().expect("no judge panics").0.get_mut(group)?(moment, line)
}

/// A frame with its length.
async fn read_frame(from: &mut OwnedReadHalf) -> std::io::Result<Vec<u8>> {
    let length = from.read_u32().await?;
    let mut frame = length.to_be_bytes().to_vec();
    frame.resize(4 + usize::try_from(length).unwrap_or(usize::MAX), 0);
    from.read_exact(&mut frame[4..]).await?;
    Ok(frame)
}

/// What is looked at of an `OffsetCommit` request.
#[derive(Debug, PartialEq, Eq)]
struct Commit {
    correlation: i32,
    group: String,
    /// Partition, offset and metadata of each.
    offsets: Vec<(i32, i64, String)>,
}

impl Commit {
    /// Reads a frame; `None` when it is another request. Versions 8 and 9 are known, which librdkafka uses.
    fn read(frame: &[u8]) -> Option<Self> {
        let mut at = Reader(frame.get(4..)?);
        let (key, version, correlation) = (at.int16()?, at.int16()?, at.int32()?);
        if key != OFFSET_COMMIT {
            return None;
        }
        assert!((8..=9).contains(&version), "an OffsetCommit of version {version}, which this proxy cannot read");
        let client = usize::try_from(at.int16()?).unwrap_or(0);
        at.take(client)?;
        at.tags()?;
        let group = at.string()?;
        at.int32()?; // generation
        at.string()?; // member
        at.string()?; // instance
        let mut offsets = Vec::new();
        for _ in 0..at.length()? {
            at.string()?; // topic
            for _ in 0..at.length()? {
                let (partition, offset) = (at.int32()?, at.int64()?);
                at.int32()?; // leader's epoch
                offsets.push((partition, offset, at.string()?));
                at.tags()?;
            }
            at.tags()?;
        }
        Some(Self { correlation, group, offsets })
    }

    /// What it is; `known` is how far the partitions of each group were committed before.
    fn line(&self, known: &mut HashMap<(String, i32), i64>) -> String {
        let (mut is_plan, mut is_advance) = (false, false);
        for (partition, offset, metadata) in &self.offsets {
            let files = Intent::parse(metadata, *offset).map(|intent| intent.lanes.into_values().any(|lane| !lane.files.is_empty()));
            is_plan |= files.unwrap_or(false);
            is_advance |= known.insert((self.group.clone(), *partition), *offset).is_none_or(|before| before < *offset);
        }
        format!("commit{}{}", if is_plan { " plan" } else { "" }, if is_advance { " advance" } else { "" })
    }
}

/// Reads the protocol's types, those with compact lengths.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn int16(&mut self) -> Option<i16> {
        self.take(2)?.try_into().ok().map(i16::from_be_bytes)
    }

    fn int32(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    fn int64(&mut self) -> Option<i64> {
        self.take(8)?.try_into().ok().map(i64::from_be_bytes)
    }

    fn varint(&mut self) -> Option<usize> {
        let mut value = 0;
        for shift in (0..28).step_by(7) {
            let byte = *self.take(1)?.first()?;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Of an array or a string: one less than what stands there; none is nothing.
    fn length(&mut self) -> Option<usize> {
        Some(self.varint()?.saturating_sub(1))
    }

    fn string(&mut self) -> Option<String> {
        let length = self.length()?;
        self.take(length).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn tags(&mut self) -> Option<()> {
        for _ in 0..self.varint()? {
            self.varint()?;
            let length = self.varint()?;
            self.take(length)?;
        }
        Some(())
    }
}

/// The proxy's own rules: it must not be wrong itself.
pub(crate) fn commits_are_read_from_their_frames() {
    let mut frame = vec![0, 0, 0, 0, 0, 8, 0, 9, 0, 0, 0, 7, 0, 2, b'c', b'd', 0];
    frame.extend([4, b'g', b'r', b'p', 0, 0, 0, 3, 2, b'm', 0, 2]); // group, generation, member, no instance, one topic
    frame.extend([2, b't', 2, 0, 0, 0, 5]); // its name, one partition
    frame.extend(300_i64.to_be_bytes());
    frame.extend([0xff, 0xff, 0xff, 0xff, 3, b'h', b'i', 0, 0, 0]);
    let commit = Commit { correlation: 7, group: "grp".to_owned(), offsets: vec![(5, 300, "hi".to_owned())] };
    assert_eq!(Commit::read(&frame), Some(commit));
    frame[5] = 1; // Fetch
    assert_eq!(Commit::read(&frame), None);

    let mut known = HashMap::new();
    let files = LaneIntent { ahead: None, files: vec![OffsetRange { start: 300, end: 400 }] };
    let plan = Intent { lanes: BTreeMap::from([("".into(), files)]), ..Intent::default() }.text(300);
    for (offset, metadata, expected) in [(300, "", "commit advance"), (300, &plan, "commit plan"), (400, "", "commit advance"), (400, "", "commit")] {
        let commit = Commit { correlation: 0, group: "grp".to_owned(), offsets: vec![(0, offset, metadata.to_owned())] };
        assert_eq!(commit.line(&mut known), expected);
    }
}
