//! Names and links of repositories, revisions and jobs.

/// Where two revisions can be compared, for the hosts whose way of writing it is known. `web_url` is the page of the
/// repository, or any address that Git would clone from.
pub(super) fn compare_url(web_url: &str, before: &str, after: &str) -> Option<String> {
    let page = page(web_url)?;
    let host = page.split('/').nth(2)?;
    if before.is_empty() || after.is_empty() || before == after {
        return None;
    }
    if host.contains("gitlab") {
        Some(format!("{page}/-/compare/{before}...{after}"))
    } else if host == "bitbucket.org" {
        Some(format!("{page}/branches/compare/{after}..{before}"))
    } else if host.contains("github") || host.contains("gitea") || host == "codeberg.org" {
        Some(format!("{page}/compare/{before}...{after}"))
    } else {
        None
    }
}

/// `owner/name` of an address that Git would clone from, or of a page: the path without `.git`.
pub(super) fn full_name(url: &str) -> Option<String> {
    let page = page(url)?;
    let path = page.split_once("://")?.1.split_once('/')?.1;
    (!path.is_empty()).then(|| path.to_owned())
}

/// The last part of `owner/name`.
pub(super) fn short_name(full_name: &str) -> &str {
    full_name.trim_end_matches('/').rsplit('/').next().unwrap_or(full_name)
}

/// The page behind `https://host/o/n.git`, `git@host:o/n.git` or `ssh://git@host:22/o/n`.
fn page(url: &str) -> Option<String> {
    let url = url.trim().trim_end_matches('/');
    let url = url.strip_suffix(".git").unwrap_or(url);
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (scheme, rest.to_owned()),
        Some((_, rest)) => {
            let (host, path) = rest.split_once('/')?;
            ("https", format!("{}/{path}", host.split(':').next()?))
        }
        None => ("https", url.split_once('@')?.1.replacen(':', "/", 1)),
    };
    let (host, path) = rest.split_once('/')?;
    // Never repeat a password that somebody left in the address.
    let host = host.rsplit('@').next()?;
    Some(format!("{scheme}://{host}/{path}"))
}

/// The service that a job deploys: its name without `deploy` at either end, as in `deploy-web` or `web_deploy`.
pub(super) fn service_of_job(job: &str) -> String {
    let job = job.trim();
    let lower = job.to_ascii_lowercase();
    let joint = |c: char| matches!(c, '-' | '_' | '.' | ':' | ' ' | '/');
    let kept = match (lower.strip_prefix("deploy"), lower.strip_suffix("deploy")) {
        (Some(rest), _) if rest.starts_with(joint) => &job[job.len() - rest.len()..],
        (_, Some(rest)) if rest.ends_with(joint) => &job[..rest.len()],
        _ => job,
    };
    let kept = kept.trim_matches(joint);
    if kept.is_empty() { job.to_owned() } else { kept.to_owned() }
}

/// A branch or tag without `refs/heads/`, `refs/tags/` or `origin/`.
pub(super) fn short_ref(name: &str) -> &str {
    let name = name.strip_prefix("refs/heads/").or_else(|| name.strip_prefix("refs/tags/")).unwrap_or(name);
    name.strip_prefix("origin/").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compare_links_follow_the_host() {
        let link = |url| compare_url(url, "a1", "b2").unwrap_or_default();
        assert_eq!(link("https://github.com/shop/web"), "https://github.com/shop/web/compare/a1...b2");
        assert_eq!(link("git@github.com:shop/web.git"), "https://github.com/shop/web/compare/a1...b2");
        assert_eq!(link("https://gitlab.example.com/a/b/c"), "https://gitlab.example.com/a/b/c/-/compare/a1...b2");
        assert_eq!(
            link("https://u:p@bitbucket.org/shop/web"),
            "https://bitbucket.org/shop/web/branches/compare/b2..a1"
        );
        assert_eq!(link("https://git.example.com/shop/web"), "");
        assert_eq!(compare_url("https://github.com/shop/web", "a", "a"), None);
    }

    #[test]
    fn an_address_names_its_repository() {
        for url in [
            "https://git.example.com/shop/web.git",
            "git@git.example.com:shop/web.git",
            "ssh://git@git.example.com:22/shop/web",
        ] {
            assert_eq!(full_name(url).as_deref(), Some("shop/web"), "{url}");
        }
        assert_eq!(full_name("web"), None);
    }

    #[test]
    fn a_deploy_job_is_named_for_its_service() {
        for (job, service) in [
            ("deploy-web", "web"),
            ("Deploy web", "web"),
            ("web_deploy", "web"),
            ("deploy", "deploy"),
            ("deployer", "deployer"),
            ("asgard", "asgard"),
        ] {
            assert_eq!(service_of_job(job), service);
        }
    }
}
