//! From concurrent sessions to caps, limits and instances.
//!
//! Three levels, those of `examples/ops`: at the planned peak the caps are filled to the autoscaler's
//! threshold; a cache that is full to its caps, and the service around it, take [`MOST_PERCENT`] of the
//! container's limit.

use bytesize::{ByteSize, MIB};

use crate::figures::count;
use crate::memory::Footprint;
use crate::options::Demand;
use crate::stream::Stream;

/// What to set, in each of the instances.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) instances: u64,
    pub(crate) max_entries: u64,
    pub(crate) max_weight: u64,
    /// Of the caps, if there are anonymous sessions.
    pub(crate) anonymous_share: Option<f64>,
    /// The container's limit, in whole MiB.
    pub(crate) container_bytes: u64,
}

impl Plan {
    /// # Errors
    ///
    /// In words for the person who asked: it is too much memory, or an instance has too little.
    pub(crate) fn of(demand: &Demand) -> Result<Self, String> {
        let one = Self::with(demand, 1)?;
        let Some(limit) = demand.instance_bytes else { return Ok(one) };
        if one.container_bytes <= limit {
            return Ok(one);
        }
        let usable = (limit / 100 * MOST_PERCENT).saturating_sub(demand.service_bytes);
        let caps = demand.streams.iter().map(|stream| {
            stream.peak_mean * footprint(stream).resident() as f64 * 100.0
                / demand.fill_percent as f64
        });
        // Each instance has luck of its own to prepare for, so it may take more than in proportion.
        let least = (caps.sum::<f64>() / usable as f64).max(1.0) as u64;
        for instances in least..=MOST_INSTANCES {
            let plan = Self::with(demand, instances)?;
            if plan.container_bytes <= limit {
                return Ok(plan);
            }
        }
        Err(format!(
            "--instance-memory {}: not even {} instances are enough, with {} each for the rest of the \
             service",
            ByteSize(limit),
            count(MOST_INSTANCES),
            ByteSize(demand.service_bytes),
        ))
    }

    fn with(demand: &Demand, instances: u64) -> Result<Self, String> {
        let (mut entries, mut weight, mut resident) = (0, 0, 0);
        let (mut share, mut smallest) = (None, u64::MAX);
        for stream in &demand.streams {
            let cap = (stream.planned(instances) * 100).div_ceil(demand.fill_percent);
            let footprint = footprint(stream);
            let stream_weight = u128::from(cap) * u128::from(footprint.weight);
            entries += cap;
            weight += stream_weight;
            resident += u128::from(cap) * u128::from(footprint.resident());
            smallest = smallest.min(cap);
            // The last stream is that of the anonymous: of either cap they need their part.
            let of_entries = cap as f64 / entries as f64;
            share = Some(of_entries.max(stream_weight as f64 / weight as f64));
        }
        if resident > MOST_BYTES {
            return Err("this comes to more than a pebibyte: are the units right?".to_owned());
        }
        let full_bytes = resident as u64 + demand.service_bytes;
        let container_bytes = (full_bytes * 100).div_ceil(MOST_PERCENT).next_multiple_of(MIB);
        // Two digits of the smaller part.
        let precision = (entries as f64 / smallest as f64).log10().ceil() as i32 + 2;
        let precision = 10_f64.powi(precision);
        Ok(Self {
            instances,
            max_entries: entries,
            max_weight: weight as u64,
            anonymous_share: share
                .filter(|_| demand.streams.len() > 1)
                .map(|share| (share * precision).round() / precision),
            container_bytes,
        })
    }
}

/// What a session of this stream takes.
pub(crate) fn footprint(stream: &Stream) -> Footprint {
    Footprint::of(stream.bytes, stream.is_anonymous)
}

/// Where `SundownContainerMemoryCritical` of `examples/ops` pages.
const MOST_PERCENT: u64 = 90;

/// More are no longer a matter of sessions.
const MOST_INSTANCES: u64 = 10_000;

const MOST_BYTES: u128 = 1 << 50;

#[cfg(test)]
#[path = "sizing_tests.rs"]
mod tests;
