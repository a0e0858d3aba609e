//! EXPOSE's ports: `[[ip:]host:]container[-end][/protocol]` (BuildKit `dockerfile2llb/convert_expose.go`).

use std::net::IpAddr;
use std::str::FromStr;

/// The container's ports as an image config has them: `8080/tcp`. Addresses and host ports are checked and
/// otherwise left alone.
pub(super) fn ports(written: &str) -> Result<Vec<String>, String> {
    let (rest, container) = written.rsplit_once(':').map_or((None, written), |(rest, last)| (Some(rest), last));
    let (ip, host) = match rest {
        None => ("", ""),
        Some(rest) => rest.rsplit_once(':').unwrap_or(("", rest)),
    };
    let (port, protocol) = container.split_once('/').unwrap_or((container, ""));
    if port.is_empty() {
        return Err(format!("invalid port: {written:?}: no port specified"));
    }
    let protocol = match protocol.to_lowercase().as_str() {
        "" => "tcp".to_string(),
        known @ ("tcp" | "udp" | "sctp") => known.to_string(),
        other => return Err(format!("invalid port: {written:?}: invalid proto: {other}")),
    };
    let bare = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']')).unwrap_or(ip);
    if !bare.is_empty() && IpAddr::from_str(bare).is_err() {
        return Err(format!("invalid IP address: {ip}"));
    }
    let (start, end) = range(port).ok_or_else(|| format!("invalid containerPort: {port}"))?;
    if !host.is_empty() {
        let (first, last) = range(host).ok_or_else(|| format!("invalid hostPort: {host}"))?;
        if last - first != end - start && end != start {
            return Err(format!("invalid ranges specified for container and host Ports: {port} and {host}"));
        }
    }
    Ok((start..=end).map(|port| format!("{port}/{protocol}")).collect())
}

fn range(text: &str) -> Option<(u16, u16)> {
    // Go takes no sign, Rust would.
    let port = |text: &str| text.parse::<u16>().ok().filter(|_| !text.starts_with('+'));
    match text.split_once('-') {
        None => port(text).map(|port| (port, port)),
        Some((start, end)) => {
            let (start, end) = (port(start)?, port(end)?);
            (start <= end).then_some((start, end))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ports;

    #[test]
    fn ports_are_read_as_buildkit_reads_them() {
        for (written, expected) in [
            ("80", vec!["80/tcp"]),
            ("53/UDP", vec!["53/udp"]),
            ("8000-8002/tcp", vec!["8000/tcp", "8001/tcp", "8002/tcp"]),
            ("8080:80", vec!["80/tcp"]),
            ("127.0.0.1:8080:80/sctp", vec!["80/sctp"]),
            ("[::1]:8080:80", vec!["80/tcp"]),
            ("::1:8080:80", vec!["80/tcp"]),
            ("8000-8010:80", vec!["80/tcp"]),
            ("127.0.0.1::80", vec!["80/tcp"]),
        ] {
            assert_eq!(ports(written).unwrap(), expected, "{written}");
        }
        for written in
            ["", "/tcp", "x", "80/icmp", "65536", "-1", "+1", "90-80", "1-2-3", "a:1:1", "1-2:80-84", "a:80", "80:"]
        {
            assert!(ports(written).is_err(), "{written}");
        }
    }
}
