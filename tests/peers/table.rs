//! What the turns of one workload took, as a Markdown table.

use std::{fmt, time::Duration};

use crate::{Taken, builder::Phase};

/// A row a builder or floor, in the order in which they came.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    cold: Option<Duration>,
    warm: Option<Duration>,
    memory: Option<u64>,
    bytes: Option<u64>,
}

impl Table {
    /// Notes a turn: the best time counts, and the largest memory.
    pub fn add(&mut self, name: &str, phase: Phase, taken: Taken) {
        let at = self.rows.iter().position(|row| row.name == name).unwrap_or_else(|| {
            self.rows.push(Row { name: name.into(), cold: None, warm: None, memory: None, bytes: None });
            self.rows.len() - 1
        });
        let row = &mut self.rows[at];
        let best = if phase == Phase::Cold { &mut row.cold } else { &mut row.warm };
        *best = Some(best.map_or(taken.time, |best| best.min(taken.time)));
        row.memory = row.memory.max(taken.memory);
        row.bytes = taken.bytes.or(row.bytes);
    }

    /// The size of the first archive, in bytes.
    pub fn archive(&self) -> u64 {
        self.rows.iter().find_map(|row| row.bytes).unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |pick: fn(&Row) -> Option<Duration>| self.rows.first().and_then(pick);
        let (cold, warm) = (of(|row| row.cold), of(|row| row.warm));
        let time = |time: Option<Duration>, first: Option<Duration>| match (time, first) {
            (Some(time), Some(first)) => {
                let ratio = time.as_secs_f64() / first.as_secs_f64();
                format!("{:.3} | {ratio:.2}", time.as_secs_f64())
            }
            (Some(time), None) => format!("{:.3} | ", time.as_secs_f64()),
            (None, _) => " | ".into(),
        };
        let mb = |bytes: Option<u64>, digits| bytes.map_or(String::new(), |b| format!("{:.digits$}", b as f64 / 1e6));
        writeln!(f, "| | cold, s | × first | warm, s | × first | peak memory, MB | archive, MB |")?;
        writeln!(f, "|---|---|---|---|---|---|---|")?;
        for row in &self.rows {
            let (cold, warm) = (time(row.cold, cold), time(row.warm, warm));
            writeln!(f, "| {} | {cold} | {warm} | {} | {} |", row.name, mb(row.memory, 0), mb(row.bytes, 1))?;
        }
        Ok(())
    }
}
