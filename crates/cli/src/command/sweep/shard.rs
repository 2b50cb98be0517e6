//! Which part of a sweep a worker takes: as it was told, or as the scheduler that started it says in the environment.
//! Nothing is counted but blocks.

use std::ops::Range;

use crate::fail::Fail;

/// Part `index` of `count`, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) index: u64,
    pub(crate) count: u64,
}

/// Most parts.
const MAX_SHARDS: u64 = 100_000;
/// How many parts there are, where the scheduler tells only which one this is.
const COUNT: &str = "BACKTEST_SHARDS";

/// Schedulers that number their jobs: the variable of the number, that of the count, and the first number.
const SCHEDULERS: [(&str, &str, Base); 6] = [
    ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", Base::Variable("SLURM_ARRAY_TASK_MIN")),
    ("JOB_COMPLETION_INDEX", COUNT, Base::Zero),
    ("AWS_BATCH_JOB_ARRAY_INDEX", COUNT, Base::Zero),
    ("BUILDKITE_PARALLEL_JOB", "BUILDKITE_PARALLEL_JOB_COUNT", Base::Zero),
    ("CI_NODE_INDEX", "CI_NODE_TOTAL", Base::One),
    ("BACKTEST_SHARD", COUNT, Base::One),
];

/// The number of the first job.
#[derive(Clone, Copy)]
enum Base {
    Zero,
    One,
    Variable(&'static str),
}

impl Shard {
    /// The whole.
    pub(crate) const ALL: Self = Self { index: 0, count: 1 };

    /// Reads `2/8` (the second of eight), or `auto`, which asks `env`.
    pub(crate) fn parse(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Fail> {
        if text == "auto" {
            return Self::of_environment(env);
        }
        let parts = text.split_once('/').and_then(|(i, n)| {
            Some((i.trim().parse::<u64>().ok()?, n.trim().parse::<u64>().ok()?))
        });
        match parts {
            Some((i, n)) if (1..=n).contains(&i) && n <= MAX_SHARDS => {
                Ok(Self { index: i - 1, count: n })
            }
            _ => Err(Fail::usage(format!("`{text}` is no shard"))
                .hint(format!("give --shard 1/8 to 8/8 (at most {MAX_SHARDS}), or --shard auto"))),
        }
    }

    fn of_environment(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, Fail> {
        let number = |name: &str| -> Result<Option<u64>, Fail> {
            let Some(text) = env(name) else { return Ok(None) };
            let bad = || Fail::usage(format!("{name} is `{text}`, which is no number"));
            text.parse().map(Some).map_err(|_| bad())
        };
        for (id, total, base) in SCHEDULERS {
            let Some(given) = number(id)? else { continue };
            let Some(count) = number(total)? else {
                return Err(Fail::usage(format!("{id} is set, but not how many there are"))
                    .hint(format!("set {total} to the number of jobs")));
            };
            let first = match base {
                Base::Zero => 0,
                Base::One => 1,
                Base::Variable(name) => number(name)?.unwrap_or(0),
            };
            return match given.checked_sub(first) {
                Some(index) if index < count && count <= MAX_SHARDS => Ok(Self { index, count }),
                _ => Err(Fail::usage(format!(
                    "{id} is {given}, which is not one of {count} from {first} on"
                ))
                .hint("number the jobs one by one, or give --shard I/N")),
            };
        }
        let names: Vec<&str> = SCHEDULERS.iter().map(|s| s.0).collect();
        Err(Fail::usage("--shard auto found no scheduler in the environment")
            .hint(format!("give --shard I/N, or set one of {}", names.join(", "))))
    }

    /// The blocks of this part, of `n_blocks` in all.
    pub(crate) fn blocks(self, n_blocks: i64) -> Range<i64> {
        let at = |part: u64| {
            let blocks = i128::from(n_blocks) * i128::from(part) / i128::from(self.count);
            i64::try_from(blocks).unwrap_or(n_blocks)
        };
        at(self.index)..at(self.index + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(text: &str, env: &[(&str, &str)]) -> Result<(u64, u64), String> {
        let get = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Shard::parse(text, &get).map(|s| (s.index, s.count)).map_err(|e| e.to_string())
    }

    #[test]
    fn a_shard_is_given_or_found_in_the_environment() {
        assert_eq!(shard("2/8", &[]), Ok((1, 8)));
        assert!(
            shard("0/8", &[]).is_err() && shard("9/8", &[]).is_err() && shard("x", &[]).is_err()
        );
        let slurm = [
            ("SLURM_ARRAY_TASK_ID", "3"),
            ("SLURM_ARRAY_TASK_COUNT", "4"),
            ("SLURM_ARRAY_TASK_MIN", "1"),
        ];
        assert_eq!(shard("auto", &slurm), Ok((2, 4)));
        let kubernetes = [("JOB_COMPLETION_INDEX", "0"), ("BACKTEST_SHARDS", "5")];
        assert_eq!(shard("auto", &kubernetes), Ok((0, 5)));
        assert!(shard("auto", &kubernetes[..1]).unwrap_err().contains("how many"));
        assert!(shard("auto", &[("CI_NODE_INDEX", "5"), ("CI_NODE_TOTAL", "4")]).is_err());
        assert!(shard("auto", &[]).is_err());
    }

    #[test]
    fn shards_share_every_block_out_once() {
        for (n, count) in [(10, 4), (3, 8), (1, 1), (0, 3)] {
            let all = (0..count).flat_map(|index| Shard { index, count }.blocks(n));
            assert_eq!(all.collect::<Vec<_>>(), (0..n).collect::<Vec<_>>(), "{n} by {count}");
        }
    }
}
