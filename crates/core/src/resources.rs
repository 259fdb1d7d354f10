//! Amounts: what a job reserves and what a place can take, Kubernetes quantities and Spark sizes.
//!
//! Owns no state. Arithmetic saturates: a sum that overflows means "more than anybody has", never a wrap to little.

use std::{fmt, ops};

/// An amount of everything that is accounted for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    /// Applications.
    pub jobs: u64,
    /// Pods.
    pub pods: u64,
    /// Processor time in thousandths of a core.
    pub cpu_milli: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

impl Resources {
    /// Executors: every pod that is no driver.
    pub fn executors(&self) -> u64 {
        self.pods.saturating_sub(self.jobs)
    }
}

impl ops::Add for Resources {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            jobs: self.jobs.saturating_add(other.jobs),
            pods: self.pods.saturating_add(other.pods),
            cpu_milli: self.cpu_milli.saturating_add(other.cpu_milli),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
        }
    }
}

impl ops::AddAssign for Resources {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl ops::Sub for Resources {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            jobs: self.jobs.saturating_sub(other.jobs),
            pods: self.pods.saturating_sub(other.pods),
            cpu_milli: self.cpu_milli.saturating_sub(other.cpu_milli),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
        }
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cpu, {} memory", Cpu(self.cpu_milli), Memory(self.memory_bytes))
    }
}

/// One dimension of [`Resources`], for "what is missing".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dimension {
    /// Number of applications.
    Jobs,
    /// Number of pods.
    Pods,
    /// Number of executors.
    Executors,
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

impl Dimension {
    /// This dimension of a capacity.
    pub fn of(self, capacity: &Capacity) -> Option<u64> {
        match self {
            Self::Jobs => capacity.jobs,
            Self::Pods => capacity.pods,
            Self::Executors => capacity.executors,
            Self::Cpu => capacity.cpu_milli,
            Self::Memory => capacity.memory_bytes,
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jobs => "jobs",
            Self::Pods => "pods",
            Self::Executors => "executors",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
        })
    }
}

/// The most that a place may hold; an absent dimension is not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// Applications.
    pub jobs: Option<u64>,
    /// Pods.
    pub pods: Option<u64>,
    /// Executors.
    pub executors: Option<u64>,
    /// Processor time in thousandths of a core.
    pub cpu_milli: Option<u64>,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
}

/// Why a demand does not fit: the first dimension that is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shortage {
    /// What is short.
    pub dimension: Dimension,
    /// What the job needs, in the dimension's unit (jobs, millicores or bytes).
    pub needed: u64,
    /// What is free.
    pub free: u64,
    /// What there is at all: where `needed` is above it, waiting does not help. `u64::MAX` where nobody knows.
    pub limit: u64,
}

impl Shortage {
    /// Whether the demand would not fit even if the place were empty.
    pub fn is_for_ever(&self) -> bool {
        self.needed > self.limit
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |amount: u64| match self.dimension {
            Dimension::Jobs | Dimension::Pods | Dimension::Executors => amount.to_string(),
            Dimension::Cpu => Cpu(amount).to_string(),
            Dimension::Memory => Memory(amount).to_string(),
        };
        if self.is_for_ever() {
            write!(f, "needs {} {}, has {} at all", show(self.needed), self.dimension, show(self.limit))
        } else if self.limit == u64::MAX {
            write!(f, "needs {} {}, {} free", show(self.needed), self.dimension, show(self.free))
        } else {
            write!(
                f,
                "needs {} {}, {} of {} free",
                show(self.needed),
                self.dimension,
                show(self.free),
                show(self.limit)
            )
        }
    }
}

impl Capacity {
    /// Whether nothing is limited.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// The largest part of what is limited here that is taken, in 2^-20ths; `None` where nothing is limited. A limit of
    /// 0 that is touched counts as far overdrawn.
    pub fn taken(&self, used: Resources) -> Option<u64> {
        let part = |limit: Option<u64>, used: u64| {
            let limit = limit?.max(1);
            if used < 1 << 44 {
                return Some((used << 20) / limit);
            }
            // In a type that cannot overflow on the way.
            Some(u64::try_from((u128::from(used) << 20) / u128::from(limit)).unwrap_or(u64::MAX))
        };
        [
            part(self.jobs, used.jobs),
            part(self.pods, used.pods),
            part(self.executors, used.executors()),
            part(self.cpu_milli, used.cpu_milli),
            part(self.memory_bytes, used.memory_bytes),
        ]
        .into_iter()
        .flatten()
        .max()
    }

    /// The sum, dimension by dimension; what one side does not limit, the sum does not either.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let sum = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
        Self {
            jobs: sum(self.jobs, other.jobs),
            pods: sum(self.pods, other.pods),
            executors: sum(self.executors, other.executors),
            cpu_milli: sum(self.cpu_milli, other.cpu_milli),
            memory_bytes: sum(self.memory_bytes, other.memory_bytes),
        }
    }

    /// Whether `demand` fits beside what is `used`: [`Self::fits`] without a reason.
    pub fn has_room(&self, used: Resources, demand: Resources) -> bool {
        let has = |limit: Option<u64>, used: u64, needed: u64| {
            limit.is_none_or(|limit| needed <= limit.saturating_sub(used))
        };
        has(self.jobs, used.jobs, demand.jobs)
            && has(self.pods, used.pods, demand.pods)
            && has(self.executors, used.executors(), demand.executors())
            && has(self.cpu_milli, used.cpu_milli, demand.cpu_milli)
            && has(self.memory_bytes, used.memory_bytes, demand.memory_bytes)
    }

    /// Whether `demand` fits beside what is `used`.
    ///
    /// # Errors
    /// The first dimension that is short, in the order jobs, pods, executors, cpu, memory; one that can never fit comes before one that
    /// is only full now.
    pub fn fits(&self, used: Resources, demand: Resources) -> Result<(), Shortage> {
        let sides = [
            (Dimension::Jobs, self.jobs, used.jobs, demand.jobs),
            (Dimension::Pods, self.pods, used.pods, demand.pods),
            (Dimension::Executors, self.executors, used.executors(), demand.executors()),
            (Dimension::Cpu, self.cpu_milli, used.cpu_milli, demand.cpu_milli),
            (Dimension::Memory, self.memory_bytes, used.memory_bytes, demand.memory_bytes),
        ];
        let mut first = None;
        for (dimension, limit, used, needed) in sides {
            let Some(limit) = limit else { continue };
            let free = limit.saturating_sub(used);
            if needed > free {
                let short = Shortage { dimension, needed, free, limit };
                if short.is_for_ever() {
                    return Err(short);
                }
                first.get_or_insert(short);
            }
        }
        first.map_or(Ok(()), Err)
    }
}

/// Millicores, shown as people write them: `500m`, `2`.
#[derive(Clone, Copy, Debug)]
pub struct Cpu(pub u64);

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(1000) { write!(f, "{}", self.0 / 1000) } else { write!(f, "{}m", self.0) }
    }
}

/// Bytes, shown in the largest binary unit that loses nothing below a mebibyte: `9Gi`, `5734Mi`.
#[derive(Clone, Copy, Debug)]
pub struct Memory(pub u64);

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u32); 3] = [("Ti", 40), ("Gi", 30), ("Mi", 20)];
        for (unit, shift) in UNITS {
            if self.0 >= 1 << shift && self.0.is_multiple_of(1 << shift) {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        if self.0 >= 1 << 20 { write!(f, "{}Mi", self.0 >> 20) } else { write!(f, "{}", self.0) }
    }
}

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// Not a Kubernetes quantity.
    #[error("{0:?} is not a Kubernetes quantity; write it like 500m, 2, 1.5, 512Mi or 8Gi")]
    Quantity(String),
    /// Not a size as Spark reads it.
    #[error("{0:?} is not a size Spark can read; write a whole number and a unit, like 512m or 8g")]
    SparkSize(String),
    /// Larger than can be counted.
    #[error("{0:?} is too large")]
    TooLarge(String),
}

/// A Kubernetes quantity in thousandths: `500m` is 500, `2` is 2000, `8Gi` is 8 * 2^30 * 1000. Fractions of a
/// thousandth round up, as the API server rounds them.
///
/// # Errors
/// [`AmountError::Quantity`] for a text that is none or is negative, [`AmountError::TooLarge`] past 2^127.
pub fn quantity_milli(text: &str) -> Result<u128, AmountError> {
    let bad = || AmountError::Quantity(text.to_owned());
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let split = unsigned.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(unsigned.len());
    let (digits, suffix) = unsigned.split_at(split);
    let (multiplier, divisor): (u128, u128) = match suffix {
        "" => (1000, 1),
        "n" => (1, 1_000_000),
        "u" => (1, 1000),
        "m" => (1, 1),
        "k" => (1_000_000, 1),
        "M" => (1_000_000_000, 1),
        "G" => (1_000_000_000_000, 1),
        "T" => (1_000_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000_000, 1),
        "Ki" => (1000 << 10, 1),
        "Mi" => (1000 << 20, 1),
        "Gi" => (1000 << 30, 1),
        "Ti" => (1000 << 40, 1),
        "Pi" => (1000 << 50, 1),
        "Ei" => (1000 << 60, 1),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E']).ok_or_else(bad)?;
            let exponent: i32 = exponent.parse().map_err(|_| bad())?;
            let power = 10u128
                .checked_pow(exponent.unsigned_abs())
                .filter(|_| exponent.abs() <= 24)
                .ok_or_else(bad)?;
            if exponent >= 0 { (1000 * power, 1) } else { (1000, power) }
        }
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || fraction.len() > 18 {
        return Err(bad());
    }
    let scale = 10u128.pow(u32::try_from(fraction.len()).unwrap_or(0));
    let too_large = || AmountError::TooLarge(text.to_owned());
    let digits: u128 = if whole.is_empty() && fraction.is_empty() {
        0
    } else {
        format!("{whole}{fraction}").parse().map_err(|_| too_large())?
    };
    let scaled = digits.checked_mul(multiplier).ok_or_else(too_large)?;
    Ok(scaled.div_ceil(divisor * scale))
}

/// A Kubernetes quantity of cpu, in millicores.
///
/// # Errors
/// As [`quantity_milli`].
pub fn cpu_milli(text: &str) -> Result<u64, AmountError> {
    u64::try_from(quantity_milli(text)?).map_err(|_| AmountError::TooLarge(text.to_owned()))
}

/// A Kubernetes quantity of memory, in bytes (fractions round up).
///
/// # Errors
/// As [`quantity_milli`].
pub fn memory_bytes(text: &str) -> Result<u64, AmountError> {
    u64::try_from(quantity_milli(text)?.div_ceil(1000)).map_err(|_| AmountError::TooLarge(text.to_owned()))
}

/// A size as Spark's `JavaUtils.byteStringAsMb` reads it, in bytes: digits and one of b, k, m, g, t, p (with an optional
/// second `b`), any case, 1024-based, **no suffix means mebibytes**. Less than a mebibyte rounds down, as Spark does.
///
/// # Errors
/// [`AmountError::SparkSize`] for anything else: `1.5g` and `1Gi` fail in Spark too.
pub fn spark_size_bytes(text: &str) -> Result<u64, AmountError> {
    let bad = || AmountError::SparkSize(text.to_owned());
    let lower = text.trim().to_ascii_lowercase();
    let split = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (digits, unit) = lower.split_at(split);
    let shift = match unit {
        "b" => 0,
        "k" | "kb" => 10,
        "" | "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        "p" | "pb" => 50,
        _ => return Err(bad()),
    };
    if digits.is_empty() {
        return Err(bad());
    }
    let too_large = || AmountError::TooLarge(text.to_owned());
    let number: u64 = digits.parse().map_err(|_| too_large())?;
    let bytes = number.checked_mul(1 << shift).ok_or_else(too_large)?;
    Ok(bytes >> 20 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_as_the_api_server_reads_them() {
        for (text, milli) in [
            ("0", 0),
            ("2", 2000),
            ("1.5", 1500),
            (".5", 500),
            ("500m", 500),
            ("0.1m", 1),
            ("100u", 1),
            ("1e3", 1_000_000),
            ("1E3", 1_000_000),
            ("12e-1", 1200),
            ("2k", 2_000_000),
            ("+2", 2000),
            ("1Ki", 1_024_000),
        ] {
            assert_eq!(quantity_milli(text), Ok(milli), "{text}");
        }
        assert_eq!(memory_bytes("8Gi"), Ok(8 << 30));
        assert_eq!(memory_bytes("1G"), Ok(1_000_000_000));
        for text in ["", ".", "m", "1.2.3", "-1", "1 Gi", "1gi", "Gi", "1e", "1e99", "0x1"] {
            assert!(quantity_milli(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_read_as_spark_reads_them() {
        for (text, bytes) in [
            ("512", 512 << 20),
            ("512m", 512 << 20),
            ("8G", 8 << 30),
            ("1gb", 1 << 30),
            ("2048k", 2 << 20),
            ("100b", 0),
        ] {
            assert_eq!(spark_size_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "g", "1.5g", "1Gi", "-1g", "1 g"] {
            assert!(spark_size_bytes(text).is_err(), "{text:?}");
        }
        assert!(matches!(spark_size_bytes("99999999999999999999g"), Err(AmountError::TooLarge(_))));
    }

    #[test]
    fn a_shortage_names_what_is_missing() {
        let capacity = Capacity { jobs: Some(2), cpu_milli: Some(4000), ..Capacity::default() };
        let used = Resources { jobs: 1, pods: 3, cpu_milli: 3000, memory_bytes: 1 << 30 };
        let demand = |cpu_milli| Resources { jobs: 1, pods: 2, cpu_milli, memory_bytes: 1 << 40 };
        assert_eq!(capacity.fits(used, demand(1000)), Ok(()));
        assert_eq!(
            capacity.fits(used, demand(1500)).unwrap_err().to_string(),
            "needs 1500m cpu, 1 of 4 free"
        );
        assert_eq!(capacity.fits(used, demand(5000)).unwrap_err().to_string(), "needs 5 cpu, has 4 at all");
    }
}
