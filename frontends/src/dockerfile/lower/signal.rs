//! Names of Linux signals (moby/sys `signal/signal_linux.go`).

const NAMES: [&str; 35] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL", "PIPE", "POLL",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1",
    "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "UNUSED",
];

/// The names with `SIG`, to choose a near one from.
pub(super) fn names() -> impl Iterator<Item = String> {
    NAMES.iter().map(|name| format!("SIG{name}"))
}

/// Whether a text is a signal: a number other than 0, or a name with or without `SIG`, in any case.
pub(super) fn is_known(text: &str) -> bool {
    if let Ok(number) = text.parse::<i64>() {
        return number != 0;
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    // The real-time signals count from both ends: RTMIN … RTMIN+15, RTMAX-14 … RTMAX.
    let offset = |prefix: &str, most: u8| {
        name.strip_prefix(prefix).is_some_and(|n| n.parse::<u8>().is_ok_and(|n| (1..=most).contains(&n)))
    };
    NAMES.contains(&name) || ["RTMIN", "RTMAX"].contains(&name) || offset("RTMIN+", 15) || offset("RTMAX-", 14)
}

#[cfg(test)]
mod tests {
    use super::is_known;

    #[test]
    fn signals() {
        for text in ["9", "SIGTERM", "term", "SIGRTMIN+3", "RTMAX-14", "rtmin"] {
            assert!(is_known(text), "{text}");
        }
        for text in ["", "0", "SIG", "SIGFOO", "RTMIN+16", "RTMAX-0", "$SIG"] {
            assert!(!is_known(text), "{text}");
        }
    }
}
