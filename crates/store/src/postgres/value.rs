//! Values that sqlx knows no exact type for here: NUMERIC, JSONB and INTERVAL in the server's binary form.
//! No float may enter.

use rust_decimal::Decimal;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::{Oid, PgInterval};
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef, Postgres};
use sqlx::{Decode, Encode, Type};

const NUMERIC_OID: Oid = Oid(1700);
const NUMERIC_ARRAY_OID: Oid = Oid(1231);
const JSONB_OID: Oid = Oid(3802);
const TIMESTAMPTZ_OID: Oid = Oid(1184);
/// Sign words of the binary form; any other is NaN or infinite.
const POSITIVE: u16 = 0x0000;
const NEGATIVE: u16 = 0x4000;
/// 2000-01-01 UTC, from which the server counts, in microseconds since 1970.
pub(crate) const EPOCH_US: i64 = 946_684_800_000_000;
/// A TIMESTAMPTZ in microseconds since 1970; `None` for infinity, which is no time that a calendar has.
pub(crate) fn time_us(bytes: [u8; 8]) -> Option<i64> {
    let us = i64::from_be_bytes(bytes);
    (us != i64::MAX && us != i64::MIN).then(|| us.checked_add(EPOCH_US)).flatten()
}

/// A TIMESTAMPTZ in microseconds since 1970; `None` for infinity. (The driver's own type for one panics at it.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeUs(pub(crate) Option<i64>);

impl Type<Postgres> for TimeUs {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TIMESTAMPTZ_OID)
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        ty.oid() == Some(TIMESTAMPTZ_OID)
    }
}

impl Decode<'_, Postgres> for TimeUs {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(time_us(value.as_bytes()?.try_into()?)))
    }
}

/// Microseconds of the server's day and month in an interval.
const DAY_US: i64 = 86_400_000_000;

/// A NUMERIC: groups of four decimal digits, most significant first, as PostgreSQL's numeric_send writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numeric(pub(crate) Decimal);

impl Type<Postgres> for Numeric {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(NUMERIC_OID)
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        ty.oid() == Some(NUMERIC_OID)
    }
}

impl PgHasArrayType for Numeric {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(NUMERIC_ARRAY_OID)
    }
}

impl Encode<'_, Postgres> for Numeric {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        put_numeric(self.0.mantissa(), self.0.scale(), buf);
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Numeric {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        let mut words = value.as_bytes()?.chunks_exact(2).map(|w| u16::from_be_bytes([w[0], w[1]]));
        let mut word = || words.next().ok_or("a NUMERIC ends early");
        let (count, weight, sign) = (word()?, word()?.cast_signed(), word()?);
        word()?;
        if sign != POSITIVE && sign != NEGATIVE {
            return Err("a NUMERIC is not a finite number".into());
        }
        let mut mantissa = 0_i128;
        for _ in 0..count {
            let shifted = mantissa.checked_mul(10_000).ok_or("a NUMERIC is too long")?;
            mantissa = shifted + i128::from(word()?);
        }
        // The last group stands for 10000 ^ (weight - count + 1).
        let exponent = 4 * (i32::from(weight) - i32::from(count) + 1);
        let power = |n: i32| 10_i128.checked_pow(n.unsigned_abs()).ok_or("a NUMERIC is too large");
        let mut scale = 0;
        if exponent > 0 {
            mantissa = mantissa.checked_mul(power(exponent)?).ok_or("a NUMERIC is too large")?;
        } else {
            scale = exponent.unsigned_abs();
        }
        let signed = if sign == NEGATIVE { -mantissa } else { mantissa };
        Ok(Self(Decimal::try_from_i128_with_scale(signed, scale)?))
    }
}

/// Adds `value` / 10 ^ `scale` to `bytes`; the scale is at most that of a [`Decimal`].
pub(super) fn put_numeric(value: i128, scale: u32, bytes: &mut Vec<u8>) {
    // Padded to a multiple of four decimals, so that groups fall on the point.
    let behind = scale.div_ceil(4);
    let ragged = 10_u128.pow(4 * behind - scale);
    // As many as 128 bits have, the last one last.
    let (mut groups, mut first) = ([[0; 2]; 10], 10);
    let mut group = |rest: u64| {
        first -= 1;
        // Below 10,000.
        groups[first] = u16::try_from(rest).unwrap_or_default().to_be_bytes();
    };
    let mut rest = value.unsigned_abs() * ragged;
    let mut short = loop {
        match u64::try_from(rest) {
            Ok(short) => break short,
            Err(_) => group(u64::try_from(rest % 10_000).unwrap_or_default()),
        }
        rest /= 10_000;
    };
    while short > 0 {
        group(short % 10_000);
        short /= 10_000;
    }
    let count = 10 - first;
    let word = |n: usize| u16::try_from(n).unwrap_or_default();
    let weight = word(count).cast_signed() - word(behind as usize).cast_signed() - 1;
    bytes.extend(word(count).to_be_bytes());
    bytes.extend(weight.to_be_bytes());
    bytes.extend(if value < 0 { NEGATIVE } else { POSITIVE }.to_be_bytes());
    bytes.extend(word(scale as usize).to_be_bytes());
    bytes.extend(groups[first..].as_flattened());
}

/// A JSON text as JSONB: a version byte, then the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Jsonb(pub(crate) String);

impl Type<Postgres> for Jsonb {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSONB_OID)
    }

    fn compatible(ty: &PgTypeInfo) -> bool {
        ty.oid() == Some(JSONB_OID)
    }
}

impl Encode<'_, Postgres> for Jsonb {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buf.push(1);
        buf.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }
}

impl Decode<'_, Postgres> for Jsonb {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        match value.as_bytes()?.split_first() {
            Some((1, text)) => Ok(Self(std::str::from_utf8(text)?.to_owned())),
            _ => Err("a JSONB of an unknown version".into()),
        }
    }
}

/// An INTERVAL; we write microseconds only, and read days as 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval(PgInterval);

impl Interval {
    pub(crate) fn from_us(microseconds: i64) -> Self {
        Self(PgInterval { months: 0, days: 0, microseconds })
    }

    pub(crate) fn us(self) -> i64 {
        let days = i64::from(self.0.months) * 30 + i64::from(self.0.days);
        days * DAY_US + self.0.microseconds
    }
}

impl Type<Postgres> for Interval {
    fn type_info() -> PgTypeInfo {
        PgInterval::type_info()
    }
}

impl Encode<'_, Postgres> for Interval {
    fn encode_by_ref(&self, buf: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        self.0.encode_by_ref(buf)
    }
}

impl Decode<'_, Postgres> for Interval {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        PgInterval::decode(value).map(Self)
    }
}
