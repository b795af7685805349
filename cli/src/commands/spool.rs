//! A file of deploys that wait for the server, on the host that deploys.
//!
//! One JSON object a line, oldest first. A second file beside it, `FILE.lock`, keeps deploys that run at the same time
//! apart. What changes the file's middle is written anew beside it and renamed, so that a crash leaves one or the other.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use deployline_schemas::DeployEvent;

/// Most bytes that may wait: some 10,000 deploys.
pub const MAX_SPOOL_BYTES: u64 = 4 << 20;

/// What became of one deploy that was sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Sent {
    /// It is safe.
    Taken,
    /// It will never be taken; sending it again is of no use.
    Refused(String),
    /// Nobody there, or not now.
    Away(String),
}

/// The file, locked for as long as this lives.
pub struct Spool {
    path: PathBuf,
    waiting: Vec<String>,
    _lock: File,
}

impl Spool {
    /// Opens the file, which need not exist, and waits until nobody else has it.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let beside = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
        }
        let lock_path = beside(".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.with_context(|| format!("cannot open {}", lock_path.display()))?;
        lock.lock().with_context(|| format!("cannot lock {}", lock_path.display()))?;
        let text = match fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
            Ok(metadata) if metadata.len() > 2 * MAX_SPOOL_BYTES => {
                bail!("{} is too large for a spool", path.display())
            }
            Ok(_) => fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
        };
        let waiting = text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
        Ok(Self { path: path.to_owned(), waiting, _lock: lock })
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Sends what waits, oldest first, until one finds nobody there. Returns what `send` said of it then, and tells
    /// `refused` of each that is dropped because it will never be taken.
    pub fn drain(
        &mut self,
        mut send: impl FnMut(&DeployEvent) -> Sent,
        mut refused: impl FnMut(&str, &str),
    ) -> anyhow::Result<Option<String>> {
        let mut n_done = 0;
        let mut away = None;
        for line in &self.waiting {
            // A line that a crash cut short was never promised to anybody.
            let sent = match serde_json::from_str(line) {
                Ok(event) => send(&event),
                Err(error) => Sent::Refused(error.to_string()),
            };
            match sent {
                Sent::Taken => {}
                Sent::Refused(why) => refused(line, &why),
                Sent::Away(why) => {
                    away = Some(why);
                    break;
                }
            }
            n_done += 1;
        }
        if n_done > 0 {
            self.waiting.drain(..n_done);
            self.rewrite()?;
        }
        Ok(away)
    }

    /// Adds a deploy at the end; it is on the disk on return.
    pub fn push(&mut self, event: &DeployEvent) -> anyhow::Result<()> {
        let line = serde_json::to_string(event)?;
        let n_bytes: usize = self.waiting.iter().map(|line| line.len() + 1).sum::<usize>() + line.len() + 1;
        if n_bytes as u64 > MAX_SPOOL_BYTES {
            bail!("{} is full: {} deploys wait in it", self.path.display(), self.waiting.len());
        }
        let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
        // The newline first ends a line that a crash cut short.
        file.write_all(format!("\n{line}\n").as_bytes())?;
        file.sync_data()?;
        self.waiting.push(line);
        Ok(())
    }

    fn rewrite(&self) -> anyhow::Result<()> {
        if self.waiting.is_empty() {
            return Ok(fs::remove_file(&self.path)?);
        }
        let mut name = self.path.as_os_str().to_owned();
        name.push(".new");
        let beside = PathBuf::from(name);
        let mut file = File::create(&beside)?;
        file.write_all((self.waiting.join("\n") + "\n").as_bytes())?;
        file.sync_data()?;
        Ok(fs::rename(&beside, &self.path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(service: &str) -> DeployEvent {
        DeployEvent { service: service.to_owned(), ..DeployEvent::default() }
    }

    /// Drains with an answer for each service; returns who was asked, who was dropped, and why it ended.
    fn drain(path: &Path, answer: impl Fn(&str) -> Sent) -> (Vec<String>, usize, Option<String>) {
        let (mut asked, mut n_dropped) = (Vec::new(), 0);
        let mut spool = Spool::open(path).unwrap();
        let send = |event: &DeployEvent| {
            asked.push(event.service.clone());
            answer(&event.service)
        };
        let away = spool.drain(send, |_, _| n_dropped += 1).unwrap();
        (asked, n_dropped, away)
    }

    #[test]
    fn what_waits_is_sent_in_order_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("below/spool.jsonl");
        for service in ["a", "b", "c", "d"] {
            Spool::open(&path).unwrap().push(&event(service)).unwrap();
        }
        let away = || Sent::Away("nobody".to_owned());
        let answer = |service: &str| match service {
            "a" => Sent::Taken,
            "b" => Sent::Refused("no".to_owned()),
            _ => away(),
        };
        assert_eq!(drain(&path, answer), (vec!["a".into(), "b".into(), "c".into()], 1, Some("nobody".into())));
        assert_eq!(drain(&path, |_| Sent::Taken), (vec!["c".into(), "d".into()], 0, None));
        assert!(!path.exists());
        assert_eq!(drain(&path, |_| away()), (vec![], 0, None));
    }

    #[test]
    fn a_line_that_a_crash_cut_short_takes_no_other_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool.jsonl");
        fs::write(&path, "{\"service\": \"a\"}\n{\"serv").unwrap();
        Spool::open(&path).unwrap().push(&event("b")).unwrap();
        assert_eq!(drain(&path, |_| Sent::Taken), (vec!["a".into(), "b".into()], 1, None));
    }

    #[test]
    fn a_full_spool_takes_no_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spool.jsonl");
        let mut large = event("a");
        large.title = Some("x".repeat(MAX_SPOOL_BYTES as usize / 2));
        let mut spool = Spool::open(&path).unwrap();
        spool.push(&large).unwrap();
        assert!(spool.push(&large).unwrap_err().to_string().ends_with("is full: 1 deploys wait in it"));
        assert_eq!(spool.len(), 1);
    }
}
