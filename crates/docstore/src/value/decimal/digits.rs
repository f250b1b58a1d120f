//! Natural numbers of any length for the sums and products that 34 digits cannot hold.

use std::cmp::Ordering;

use super::{Decimal, MAX_COEFFICIENT, MAX_DIGITS, MAX_EXPONENT, MIN_EXPONENT};

/// A natural number of any length, decimal, least digit first.
pub(super) struct Digits(Vec<u8>);

impl Digits {
    pub(super) fn from_u128(mut value: u128) -> Self {
        let mut digits = Vec::with_capacity(40);
        while value > 0 {
            digits.push((value % 10) as u8);
            value /= 10;
        }
        Self(digits)
    }

    pub(super) fn shift_left(&mut self, count: usize) {
        self.0.splice(0..0, std::iter::repeat_n(0, count));
    }

    pub(super) fn product(a: u128, b: u128) -> Self {
        let (a, b) = (Self::from_u128(a), Self::from_u128(b));
        let mut sums = vec![0_u32; a.0.len() + b.0.len() + 1];
        for (i, x) in a.0.iter().enumerate() {
            for (j, y) in b.0.iter().enumerate() {
                sums[i + j] += u32::from(x * y);
            }
        }
        let mut carry = 0;
        let digits = sums.into_iter().map(|sum| {
            let total = sum + carry;
            carry = total / 10;
            (total % 10) as u8
        });
        let mut product = Self(digits.collect());
        product.trim();
        product
    }

    fn trim(&mut self) {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        let mut carry = 0;
        let length = self.0.len().max(other.0.len());
        self.0.resize(length, 0);
        for (i, digit) in self.0.iter_mut().enumerate() {
            let total = *digit + other.0.get(i).copied().unwrap_or(0) + carry;
            *digit = total % 10;
            carry = total / 10;
        }
        if carry > 0 {
            self.0.push(carry);
        }
    }

    /// `other` is not greater than `self`.
    pub(super) fn sub(&mut self, other: &Self) {
        let mut borrow = 0;
        for (i, digit) in self.0.iter_mut().enumerate() {
            let take = other.0.get(i).copied().unwrap_or(0) + borrow;
            borrow = u8::from(*digit < take);
            *digit = *digit + 10 * borrow - take;
        }
        self.trim();
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let lengths = self.0.len().cmp(&other.0.len());
        lengths.then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }

    /// `self * 10^exponent` as a decimal128: at most 34 digits, half to even, exponent in range.
    pub(super) fn round(mut self, negative: bool, mut exponent: i32) -> Decimal {
        let over = self.0.len().saturating_sub(MAX_DIGITS as usize) as i32;
        let drop = over.max(MIN_EXPONENT - exponent).max(0) as usize;
        if drop > 0 {
            exponent += drop as i32;
            let cut = drop.min(self.0.len());
            let highest = if drop > self.0.len() {
                0
            } else {
                self.0.get(cut - 1).copied().unwrap_or(0)
            };
            let rest = self.0[..cut.saturating_sub(1)].iter().any(|d| *d != 0);
            self.0.drain(..cut);
            let odd = self.0.first().is_some_and(|d| d % 2 == 1);
            if highest > 5 || (highest == 5 && (rest || odd)) {
                self.add(&Self(vec![1]));
            }
        }
        let mut coefficient = self
            .0
            .iter()
            .rev()
            .fold(0_u128, |sum, d| sum * 10 + u128::from(*d));
        if coefficient > MAX_COEFFICIENT {
            coefficient /= 10;
            exponent += 1;
        }
        if coefficient == 0 {
            return Decimal::Finite {
                negative,
                coefficient,
                exponent: exponent.clamp(MIN_EXPONENT, MAX_EXPONENT),
            };
        }
        while exponent > MAX_EXPONENT && coefficient <= MAX_COEFFICIENT / 10 {
            coefficient *= 10;
            exponent -= 1;
        }
        if exponent > MAX_EXPONENT {
            return Decimal::Infinity { negative };
        }
        Decimal::Finite {
            negative,
            coefficient,
            exponent,
        }
    }
}
