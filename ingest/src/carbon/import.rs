//! Carbon's own configuration files as sections of `deployline.toml`.
//!
//! What cannot be taken over exactly is said in a comment where it would stand, and counted.

mod glob;

mod ini;

use std::{fmt::Write, fs, io, path::Path};

use deployline_store::retention::{RetentionRule, parse_archives};

use self::{glob::globs_of, ini::sections};
use super::{config::CarbonConfig, filter::RewriteConfig};
use crate::aggregation::Rule;

/// The files that are read, where they are there.
pub const FILES: [&str; 6] = [
    "storage-schemas.conf",
    "storage-aggregation.conf",
    "aggregation-rules.conf",
    "rewrite-rules.conf",
    "whitelist.conf",
    "blacklist.conf",
];

/// What the files say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imported {
    /// Sections of `deployline.toml`, with comments.
    pub toml: String,
    /// The files that were there.
    pub files: Vec<&'static str>,
    /// Rules that were taken over.
    pub n_taken: usize,
    /// Rules that were not; a comment says why.
    pub n_left: usize,
}

/// Reads carbon's files from a folder, as in `/etc/carbon`.
///
/// # Errors
/// When none of [`FILES`] is there, or one cannot be read.
pub fn import(folder: &Path) -> io::Result<Imported> {
    let mut imported = Imported::default();
    for file in FILES {
        match fs::read_to_string(folder.join(file)) {
            Ok(text) => imported.add(file, &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    match imported.files.is_empty() {
        true => Err(io::Error::new(io::ErrorKind::NotFound, format!("none of {} is there", FILES.join(", ")))),
        false => Ok(imported),
    }
}

impl Imported {
    fn add(&mut self, file: &'static str, text: &str) {
        self.files.push(file);
        self.line(&format!("# From {file}"));
        match file {
            "storage-schemas.conf" => self.schemas(text),
            "storage-aggregation.conf" => self.consolidation(text),
            "aggregation-rules.conf" => self.aggregation(text),
            "rewrite-rules.conf" => self.rewrites(text),
            "whitelist.conf" => self.list("allow", text),
            _ => self.list("block", text),
        }
        self.line("");
    }

    fn line(&mut self, line: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.toml, "{line}");
    }

    fn leave(&mut self, what: &str, why: &str) {
        self.n_left += 1;
        self.line(&format!("# Not taken over: {what}: {why}"));
    }

    fn schemas(&mut self, text: &str) {
        for section in sections(text) {
            let name = &section.name;
            let (Some(pattern), Some(retentions)) = (section.get("pattern"), section.get("retentions")) else {
                self.leave(&format!("[{name}]"), "pattern or retentions is missing");
                continue;
            };
            let keep = match parse_archives(retentions) {
                Ok(keep) => keep,
                Err(error) => {
                    self.leave(&format!("[{name}]"), &error.to_string());
                    continue;
                }
            };
            let Some(globs) = globs_of(pattern) else {
                self.leave(&format!("[{name}]"), &format!("`{pattern}` says more than a glob can"));
                continue;
            };
            if let Err(error) = (RetentionRule { pattern: String::new(), keep: keep.clone() }).check() {
                self.leave(&format!("[{name}]"), &error.to_string());
                continue;
            }
            let keep: Vec<String> = keep.iter().map(|keep| quoted(&keep.to_string())).collect();
            for glob in globs {
                self.line(&format!("[[retention]]  # [{name}] {pattern}"));
                self.line(&format!("match = {}", quoted(&glob)));
                self.line(&format!("keep = [{}]", keep.join(", ")));
            }
            self.n_taken += 1;
        }
    }

    /// Count, sum, minimum, maximum and last are kept of each interval, so that a series' method is no matter of its storage.
    fn consolidation(&mut self, text: &str) {
        self.line("# Every interval keeps count, sum, minimum, maximum and last value: no method need be chosen.");
        for section in sections(text) {
            let (pattern, method) =
                (section.get("pattern").unwrap_or(".*"), section.get("aggregationMethod").unwrap_or("average"));
            self.line(&format!("#   [{}] {pattern}: {method}", section.name));
            self.n_taken += 1;
        }
    }

    fn aggregation(&mut self, text: &str) {
        for line in lines(text) {
            match line.parse::<Rule>() {
                Ok(_) => {
                    self.line(&format!("[[aggregation]]\nrule = {}", quoted(line)));
                    self.n_taken += 1;
                }
                Err(error) => self.leave(line, &error.reason),
            }
        }
    }

    fn rewrites(&mut self, text: &str) {
        for section in sections(text) {
            for (find, replace) in &section.pairs {
                if section.name != "pre" {
                    self.leave(
                        &format!("{find} = {replace}"),
                        "only rules before aggregation ([pre]) are applied here",
                    );
                    continue;
                }
                let rule = RewriteConfig { find: find.clone(), replace: replacement(replace) };
                match (CarbonConfig { rewrite: vec![rule.clone()], ..CarbonConfig::default() }).check() {
                    Ok(()) => {
                        let (find, replace) = (quoted(&rule.find), quoted(&rule.replace));
                        self.line(&format!("[[carbon.rewrite]]\nfind = {find}\nreplace = {replace}"));
                        self.n_taken += 1;
                    }
                    Err(error) => self.leave(find, &error.to_string()),
                }
            }
        }
    }

    fn list(&mut self, key: &'static str, text: &str) {
        let mut patterns = Vec::new();
        for pattern in lines(text) {
            match (CarbonConfig { allow: vec![pattern.to_owned()], ..CarbonConfig::default() }).check() {
                Ok(()) => patterns.push(quoted(pattern)),
                Err(error) => self.leave(pattern, &error.to_string()),
            }
        }
        if !patterns.is_empty() {
            self.n_taken += patterns.len();
            // By its whole path, since `[carbon]` may stand elsewhere already and `[[carbon.rewrite]]` above.
            self.line(&format!("# Put into [carbon]:\n# {key} = [{}]", patterns.join(", ")));
        }
    }
}

/// The lines that say something.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// Python's `\1` and `\g<name>` as `${1}` and `${name}`.
fn replacement(python: &str) -> String {
    let mut out = String::new();
    let mut rest = python.replace('$', "$$");
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let digits = after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let named = after.strip_prefix("g<").and_then(|named| named.split_once('>'));
        rest = match (digits, named) {
            (1.., _) => {
                out += &format!("${{{}}}", &after[..digits]);
                after[digits..].to_owned()
            }
            (0, Some((name, after))) => {
                out += &format!("${{{name}}}");
                after.to_owned()
            }
            _ => {
                out.push('\\');
                after.to_owned()
            }
        };
    }
    out + &rest
}

/// A string of TOML: literal where that is possible, so that expressions stay readable.
fn quoted(text: &str) -> String {
    match text.contains('\'') || text.chars().any(char::is_control) {
        false => format!("'{text}'"),
        true => serde_json::Value::from(text).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imported(files: &[(&'static str, &str)]) -> Imported {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(file, text)| fs::write(folder.path().join(file), text).unwrap());
        import(folder.path()).unwrap()
    }

    /// From the examples that carbon 1.1.10 ships, and its manual.
    #[test]
    fn carbons_own_examples_are_taken_over() {
        let imported = imported(&[
            (
                "storage-schemas.conf",
                "# Schema\n[carbon]\npattern = ^carbon\\.\nretentions = 60:90d\n\n[timers]\npattern = ^stats\\.timers\\..*\\.upper$\nretentions = 10s:6h,1min:7d\n\
                 [odd]\npattern = ^a(?!b)\nretentions = 60s:1d\n[default_1min_for_1day]\npattern = .*\nretentions = 60s:1d\n",
            ),
            ("storage-aggregation.conf", "[min]\npattern = \\.min$\nxFilesFactor = 0.1\naggregationMethod = min\n"),
            ("aggregation-rules.conf", "<env>.all.requests (60) = sum <env>.*.requests\nbroken (60) = median x\n"),
            ("rewrite-rules.conf", "[pre]\n^(?P<h>[a-z]+)\\.(\\d) = \\g<h>.n\\2\n[post]\n_ = -\n"),
            ("blacklist.conf", "^junk\\.\n"),
        ]);
        let expected = "# From storage-schemas.conf\n\
            [[retention]]  # [carbon] ^carbon\\.\nmatch = 'carbon.*'\nkeep = ['1m:90d']\n\
            [[retention]]  # [timers] ^stats\\.timers\\..*\\.upper$\nmatch = 'stats.timers.*.upper'\nkeep = ['10s:6h', '1m:7d']\n\
            # Not taken over: [odd]: `^a(?!b)` says more than a glob can\n\
            [[retention]]  # [default_1min_for_1day] .*\nmatch = '*'\nkeep = ['1m:1d']\n\n\
            # From storage-aggregation.conf\n\
            # Every interval keeps count, sum, minimum, maximum and last value: no method need be chosen.\n\
            #   [min] \\.min$: min\n\n\
            # From aggregation-rules.conf\n\
            [[aggregation]]\nrule = '<env>.all.requests (60) = sum <env>.*.requests'\n\
            # Not taken over: broken (60) = median x: the method is not sum, avg, min, max, count, last or p50 to p999\n\n\
            # From rewrite-rules.conf\n\
            [[carbon.rewrite]]\nfind = '^(?P<h>[a-z]+)\\.(\\d)'\nreplace = '${h}.n${2}'\n\
            # Not taken over: _ = -: only rules before aggregation ([pre]) are applied here\n\n\
            # From blacklist.conf\n# Put into [carbon]:\n# block = ['^junk\\.']\n\n";
        assert_eq!(imported.toml, expected);
        assert_eq!((imported.n_taken, imported.n_left, imported.files.len()), (7, 3, 5));
    }

    #[test]
    fn a_folder_without_any_of_the_files_is_refused() {
        let error = import(tempfile::tempdir().unwrap().path()).unwrap_err();
        assert!(error.to_string().starts_with("none of storage-schemas.conf, "), "{error}");
    }
}
