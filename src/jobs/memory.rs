//! How much memory a job may take.

use std::fs::read_to_string;

/// Bytes that can be taken without swapping; `None` where the system does not tell. In a container: no more than it
/// still may take.
#[must_use]
pub fn free_bytes() -> Option<u64> {
    let host = available(&read_to_string("/proc/meminfo").ok()?)?;
    let group = |name: &str| read_to_string(format!("/sys/fs/cgroup/memory.{name}")).ok();
    let left = group("max")
        .zip(group("current"))
        .and_then(|(max, current)| left(&max, &current, &group("stat").unwrap_or_default()));
    Some(left.map_or(host, |left| left.min(host)))
}

/// From the text of `/proc/meminfo`.
fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find(|line| line.starts_with("MemAvailable:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}

/// From a control group's `memory.max` ("max" where there is no limit), `memory.current` and `memory.stat`: file pages
/// that nobody used lately are given back when they are needed.
fn left(max: &str, current: &str, stat: &str) -> Option<u64> {
    let max: u64 = max.trim().parse().ok()?;
    let current: u64 = current.trim().parse().ok()?;
    let idle = stat
        .lines()
        .find_map(|line| line.strip_prefix("inactive_file "))
        .and_then(|bytes| bytes.trim().parse().ok())
        .unwrap_or(0);
    Some(max.saturating_sub(current.saturating_sub(idle)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_system_are_read() {
        let meminfo = "MemTotal:       32768 kB\nMemFree:  10 kB\nMemAvailable:   2048 kB\n";
        assert_eq!(available(meminfo), Some(2 << 20));
        assert_eq!(available("MemTotal: 5 kB"), None);
        assert_eq!(
            left("1000\n", "600\n", "anon 5\ninactive_file 100\n"),
            Some(500)
        );
        assert_eq!(left("max\n", "600\n", ""), None);
        assert_eq!(left("10", "600", ""), Some(0));
    }
}
