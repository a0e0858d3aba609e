//! The image config that goes with the layers that were written.

use routerpack_graph::{
    Digest, ImageConfig,
    image::{History, RootFs},
};

use crate::Error;

/// RFC 3339 of an epoch.
pub(crate) fn rfc3339(epoch: i64) -> Result<String, Error> {
    jiff::Timestamp::from_second(epoch).map(|t| t.to_string()).map_err(|_| Error::Epoch(epoch))
}

/// What every reader of an image wants to know (OCI image-spec, config.md: REQUIRED).
pub(crate) fn check(config: &ImageConfig) -> Result<(), Error> {
    match (config.os.is_empty(), config.architecture.is_empty()) {
        (true, _) => Err(Error::Config("os")),
        (_, true) => Err(Error::Config("architecture")),
        _ => Ok(()),
    }
}

/// The config of an image with one flat layer: its history has exactly one line, and that line has
/// the layer (buildah refuses a base whose history and diff_ids disagree).
pub(crate) fn flat(config: &ImageConfig, diff_ids: Vec<Digest>, epoch: Option<i64>) -> Result<ImageConfig, Error> {
    let created = match epoch {
        Some(e) => Some(rfc3339(e)?),
        // A frontend that adds nothing to a base leaves the time to the base's own history.
        None => config.created.clone().or_else(|| config.history.iter().rev().find_map(|h| h.created.clone())),
    };
    // A last line without a command is what somebody said of a commit.
    let note = config.history.last().filter(|line| line.created_by.is_empty()).cloned().unwrap_or_default();
    let line = History {
        created: created.clone(),
        created_by: "routerpack: one flat layer".into(),
        author: note.author,
        comment: note.comment,
        ..History::default()
    };
    let rootfs = RootFs { diff_ids, ..RootFs::default() };
    Ok(ImageConfig { created, history: vec![line], rootfs, ..config.clone() })
}

/// The config of an image that keeps its layers. History is made to agree with them as BuildKit
/// does (`exporter/containerimage/writer.go`, `normalizeLayersAndHistory`): lines too many become
/// empty ones from the top, missing ones are added, and a line without a time takes its layer's, or
/// else its neighbour's. `made`: when each layer was, in nanoseconds since 1970, as far as that is known.
/// With an epoch no time is later than it.
pub(crate) fn layered(
    config: &ImageConfig,
    diff_ids: Vec<Digest>,
    made: &[Option<i64>],
    epoch: Option<i64>,
) -> Result<ImageConfig, Error> {
    let mut history = config.history.clone();
    let mut with_layer = 0;
    for line in &mut history {
        line.empty_layer |= with_layer == diff_ids.len();
        if !line.empty_layer {
            let made = made.get(with_layer).copied().flatten();
            let made = made.and_then(|nanos| jiff::Timestamp::from_nanosecond(nanos.into()).ok());
            line.created = line.created.take().or(made.map(|time| time.to_string()));
            with_layer += 1;
        }
    }
    for _ in with_layer..diff_ids.len() {
        history.push(History {
            created: config.created.clone(),
            created_by: "created by routerpack".into(),
            ..History::default()
        });
    }

    // The first line after the untimed ones dates them, else the last one before them, else the image.
    let untimed = history.iter().position(|h| h.created.is_none()).unwrap_or(history.len());
    let after = history[untimed..].iter().find_map(|h| h.created.clone());
    let before = history[..untimed].iter().rev().find_map(|h| h.created.clone());
    let mut time = after.or(before).or_else(|| config.created.clone());
    let mut in_gap = false;
    for line in &mut history {
        match &line.created {
            Some(t) if in_gap => time = Some(t.clone()),
            Some(_) => {}
            None => {
                in_gap = true;
                line.created = time.clone();
            }
        }
    }

    let last = history.iter().rev().find_map(|h| h.created.clone());
    let mut created = config.created.clone().or(last);
    if let Some(e) = epoch {
        let limit = rfc3339(e)?;
        for time in history.iter_mut().map(|h| &mut h.created) {
            if time.as_ref().and_then(|t| t.parse::<jiff::Timestamp>().ok()).is_none_or(|t| t.as_second() >= e) {
                *time = Some(limit.clone());
            }
        }
        created = Some(limit);
    }
    let rootfs = RootFs { diff_ids, ..RootFs::default() };
    Ok(ImageConfig { created, history, rootfs, ..config.clone() })
}

/// The file's bytes; the image's id is their digest.
pub(crate) fn to_json(config: &ImageConfig) -> Vec<u8> {
    // Plain data with text keys: serialising can't fail.
    serde_json::to_vec(config).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(created: Option<&str>, empty_layer: bool) -> History {
        History { created: created.map(Into::into), empty_layer, ..History::default() }
    }

    fn ids(n: u8) -> Vec<Digest> {
        (0..n).map(|i| Digest::of(&[i])).collect()
    }

    #[test]
    fn history_agrees_with_the_layers() {
        // (non-empty and empty lines, layers, wanted empty marks)
        let table: [(&[bool], u8, &[bool]); 5] = [
            (&[false, true, false], 2, &[false, true, false]),
            (&[false, false, false], 2, &[false, false, true]),
            (&[true], 2, &[true, false, false]),
            (&[], 1, &[false]),
            (&[false], 0, &[true]),
        ];
        for (lines, layers, want) in table {
            let config = ImageConfig { history: lines.iter().map(|&e| line(None, e)).collect(), ..Default::default() };
            let got = layered(&config, ids(layers), &[], None).unwrap();
            assert_eq!(got.history.iter().map(|h| h.empty_layer).collect::<Vec<_>>(), want);
            assert_eq!(got.history.iter().filter(|h| !h.empty_layer).count(), got.rootfs.diff_ids.len());
        }
    }

    #[test]
    fn times_are_filled_and_limited() {
        let (a, b) = ("2020-01-01T00:00:00Z", "2021-01-01T00:00:00Z");
        let config = ImageConfig {
            history: vec![line(Some(a), false), line(None, true), line(Some(b), false), line(None, true)],
            ..Default::default()
        };
        let times = |c: ImageConfig| c.history.into_iter().map(|h| h.created.unwrap()).collect::<Vec<_>>();
        let got = layered(&config, ids(2), &[], None).unwrap();
        assert_eq!(got.created.as_deref(), Some(b));
        assert_eq!(times(got), [a, b, b, b]);
        let got = layered(&config, ids(2), &[], Some(1_590_000_000)).unwrap();
        assert_eq!(got.created.as_deref(), Some("2020-05-20T18:40:00Z"));
        assert_eq!(times(got)[..2], [a, "2020-05-20T18:40:00Z"]);
        assert!(layered(&config, ids(2), &[], Some(i64::MAX)).is_err());
        let config = ImageConfig { history: vec![line(None, false)], created: Some(a.into()), ..Default::default() };
        assert_eq!(times(layered(&config, ids(2), &[], None).unwrap()), [a, a]);
        // a layer's own time comes first, and counts for what says nothing before it
        let lines = vec![line(Some(a), false), line(None, true), line(None, false), line(None, true)];
        let config = ImageConfig { history: lines, ..Default::default() };
        let got = layered(&config, ids(2), &[Some(9), Some(1_609_459_200_000_000_000)], None).unwrap();
        assert_eq!(times(got), [a, b, b, b]);
    }

    #[test]
    fn a_flat_image_has_one_line() {
        let config = ImageConfig { history: vec![line(None, true), line(None, false)], ..Default::default() };
        let got = flat(&config, ids(1), Some(0)).unwrap();
        assert_eq!(got.history.len(), 1);
        assert!(!got.history[0].empty_layer);
        assert_eq!(got.created.as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(got.rootfs.diff_ids.len(), 1);
    }
}
