//! Going through partitions row by row, each function with what it remembers of the rows before.

use std::rc::Rc;

use bson::{Bson, Document};

use super::{
    Order, WindowFields,
    bounds::Window,
    function::{Function, Slope},
    partition::Partition,
};
use crate::{
    error::{CommandError, Result},
    expr::{
        Expr, Vars,
        number::{Number, Sum},
        types,
    },
    pipeline::{accumulator::Accumulator, memory::Budget, state::State, unwind},
    spill::{Memory, Sorted},
};

/// A stage under way.
pub(super) struct Running<'a> {
    fields: &'a WindowFields,
    sorted: Sorted,
    vars: &'a Vars,
    partition: Partition,
    columns: Vec<Column<'a>>,
    /// The next row of the partition.
    row: usize,
    memory_bytes: usize,
}

impl<'a> Running<'a> {
    pub(super) fn new(
        fields: &'a WindowFields,
        sorted: Sorted,
        vars: &'a Vars,
        memory: &Memory,
    ) -> Self {
        Self {
            fields,
            sorted,
            vars,
            partition: Partition::new(memory),
            columns: Vec::new(),
            row: 0,
            memory_bytes: memory.limit_bytes,
        }
    }

    /// The next document.
    pub(super) fn next(&mut self) -> Option<Result<Document>> {
        if self.row >= self.partition.len() {
            if self.sorted.is_empty() {
                return None;
            }
            if let Err(error) = self.read_partition() {
                return Some(Err(error));
            }
        }
        Some(self.finish_row())
    }

    fn read_partition(&mut self) -> Result<()> {
        self.partition.clear();
        self.row = 0;
        let mut id: Option<Vec<u8>> = None;
        while let Some((key, row)) = self.sorted.front() {
            let Some((length, bytes)) = row.split_first_chunk::<4>() else {
                break;
            };
            let key = &key[..u32::from_le_bytes(*length) as usize];
            match &id {
                None => id = Some(key.to_vec()),
                Some(id) if id == key => {}
                Some(_) => break,
            }
            self.partition.push(bytes)?;
            self.sorted.pop()?;
        }
        self.columns.clear();
        for output in &self.fields.outputs {
            self.columns.push(Column {
                function: &output.function,
                order: self.fields.order.as_ref(),
                vars: self.vars,
                memory: Remembered::new(self.memory_bytes),
            });
        }
        Ok(())
    }

    fn finish_row(&mut self) -> Result<Document> {
        let row = self.row;
        self.row += 1;
        let mut document = (*self.partition.document(row)?).clone();
        for (output, column) in self.fields.outputs.iter().zip(&mut self.columns) {
            let value = column.value(row, &mut self.partition)?;
            unwind::set(&mut document, &output.path, value);
        }
        Ok(document)
    }
}

/// One function in one partition. Rows are asked for in order.
struct Column<'a> {
    function: &'a Function,
    order: Option<&'a Order>,
    vars: &'a Vars,
    memory: Remembered,
}

/// What a function knows of the rows before.
struct Remembered {
    /// The sort key of the row before, and its rank.
    ranked: Option<(Vec<Bson>, i64)>,
    /// The window of the row before, and what was accumulated of it.
    state: Option<(usize, usize, State)>,
    /// The window of the row before, and its value.
    previous: Option<((usize, usize), Bson)>,
    budget: Budget,
    /// The average so far.
    average: Option<Number>,
    /// The last value that was there, and its row.
    known: Option<(usize, Bson)>,
    /// The next row with a value; `None` where none was looked for yet.
    upcoming: Option<Option<(usize, Number)>>,
}

impl Remembered {
    fn new(memory_bytes: usize) -> Self {
        Self {
            ranked: None,
            state: None,
            previous: None,
            budget: Budget::new(memory_bytes),
            average: None,
            known: None,
            upcoming: None,
        }
    }
}

impl Column<'_> {
    fn value(&mut self, row: usize, partition: &mut Partition) -> Result<Bson> {
        match self.function {
            Function::DocumentNumber => Ok(Bson::Int64(row as i64 + 1)),
            Function::Rank { dense } => self.rank(row, partition, *dense),
            Function::Shift {
                output,
                by,
                default,
            } => {
                let from = (row as i64)
                    .checked_add(*by)
                    .and_then(|n| usize::try_from(n).ok())
                    .filter(|from| *from < partition.len());
                match from {
                    Some(from) => self.eval(output, from, partition),
                    None => Ok(default.clone()),
                }
            }
            Function::Accumulate(accumulator, window) => {
                let span = self.span(*window, row, partition)?;
                self.accumulate(accumulator, span, partition)
            }
            Function::Covariance {
                pair,
                sample,
                window,
            } => {
                let span = self.span(*window, row, partition)?;
                self.once_per_span(span, |column| {
                    column.covariance(pair, *sample, span, partition)
                })
            }
            Function::Derivative(slope) => {
                let span = self.span_on_axis(slope, row, partition)?;
                self.once_per_span(span, |column| column.derivative(slope, span, partition))
            }
            Function::Integral(slope) => {
                let span = self.span_on_axis(slope, row, partition)?;
                self.once_per_span(span, |column| column.integral(slope, span, partition))
            }
            Function::ExpMovingAvg { input, alpha } => {
                let value = self.eval(input, row, partition)?;
                Ok(self.moving_average(&value, *alpha))
            }
            Function::Carry(input) => {
                let value = self.eval(input, row, partition)?;
                if !types::is_nullish(Some(&value)) {
                    self.memory.known = Some((row, value));
                }
                let known = self.memory.known.as_ref();
                Ok(known.map_or(Bson::Null, |(_, value)| value.clone()))
            }
            Function::LinearFill(input) => self.linear_fill(input, row, partition),
        }
    }

    /// The expression's value for a row; missing is null.
    fn eval(&self, expression: &Expr, row: usize, partition: &mut Partition) -> Result<Bson> {
        let document = partition.document(row)?;
        let value = expression.eval(&document, self.vars)?;
        Ok(value.unwrap_or(Bson::Null))
    }

    fn axis(&self, dates: bool, partition: &mut Partition) -> Result<Rc<Vec<f64>>> {
        match self.order {
            Some(order) => partition.axis(order, dates),
            None => Ok(Rc::default()),
        }
    }

    fn span(
        &self,
        window: Window,
        row: usize,
        partition: &mut Partition,
    ) -> Result<(usize, usize)> {
        let axis = match window {
            Window::Range { dates, .. } => self.axis(dates, partition)?,
            Window::Documents(..) => Rc::default(),
        };
        Ok(window.span(row, partition.len(), &axis))
    }

    fn span_on_axis(
        &self,
        slope: &Slope,
        row: usize,
        partition: &mut Partition,
    ) -> Result<(usize, usize)> {
        let dates = slope.unit.is_some();
        if let Window::Range { dates: by_unit, .. } = slope.window
            && by_unit != dates
        {
            return Err(CommandError::location(
                5_624_900,
                "the window's range and the function must both have a unit or none",
            ));
        }
        let axis = self.axis(dates, partition)?;
        Ok(slope.window.span(row, partition.len(), &axis))
    }

    fn rank(&mut self, row: usize, partition: &mut Partition, dense: bool) -> Result<Bson> {
        let Some(order) = self.order else {
            return Ok(Bson::Null);
        };
        let key = partition.key(row, &order.pattern)?;
        let rank = match &self.memory.ranked {
            Some((before, rank)) if order.pattern.compare(before, &key).is_eq() => *rank,
            Some((_, rank)) if dense => rank + 1,
            _ => row as i64 + 1,
        };
        self.memory.ranked = Some((key, rank));
        Ok(Bson::Int64(rank))
    }

    /// Computes a value unless the row before had the same window.
    fn once_per_span(
        &mut self,
        span: (usize, usize),
        compute: impl FnOnce(&Self) -> Result<Bson>,
    ) -> Result<Bson> {
        if let Some((before, value)) = &self.memory.previous
            && *before == span
        {
            return Ok(value.clone());
        }
        let value = compute(self)?;
        self.memory.previous = Some((span, value.clone()));
        Ok(value)
    }

    fn accumulate(
        &mut self,
        accumulator: &Accumulator,
        span: (usize, usize),
        partition: &mut Partition,
    ) -> Result<Bson> {
        if let Some((before, value)) = &self.memory.previous
            && *before == span
        {
            return Ok(value.clone());
        }
        let (start, end) = span;
        // A window that only grew is carried on; any other is computed anew.
        let (from, mut state) = match self.memory.state.take() {
            Some((first, past, state)) if first == start && past <= end => (past, state),
            _ => {
                self.memory.budget.clear();
                (start, accumulator.start(&Bson::Null, self.vars)?)
            }
        };
        for row in from..end {
            let document = partition.document(row)?;
            accumulator.add(&mut state, &document, self.vars, &mut self.memory.budget)?;
            let budget = &self.memory.budget;
            budget.check(5_643_011, "what one window of $setWindowFields holds")?;
        }
        let value = accumulator.finish(state.clone())?;
        self.memory.state = Some((start, end, state));
        self.memory.previous = Some((span, value.clone()));
        Ok(value)
    }

    fn covariance(
        &self,
        pair: &Expr,
        sample: bool,
        (start, end): (usize, usize),
        partition: &mut Partition,
    ) -> Result<Bson> {
        let mut pairs = Vec::new();
        for row in start..end {
            if let Bson::Array(values) = self.eval(pair, row, partition)?
                && let [x, y] = values.as_slice()
                && let (Some(x), Some(y)) = (Number::from_bson(x), Number::from_bson(y))
            {
                pairs.push((x, y));
            }
        }
        let divisor = pairs.len() as i64 - i64::from(sample);
        if divisor <= 0 {
            return Ok(Bson::Null);
        }
        let mean = |pick: fn(&(Number, Number)) -> Number| {
            let mut sum = Sum::default();
            pairs.iter().for_each(|pair| sum.add(pick(pair)));
            sum.average(pairs.len() as i64)
        };
        let (mean_x, mean_y) = (mean(|pair| pair.0), mean(|pair| pair.1));
        let mut sum = Sum::default();
        for (x, y) in &pairs {
            sum.add(x.subtract(mean_x).multiply(y.subtract(mean_y)));
        }
        Ok(sum.average(divisor).to_bson())
    }

    fn derivative(
        &self,
        slope: &Slope,
        (start, end): (usize, usize),
        partition: &mut Partition,
    ) -> Result<Bson> {
        if end < start + 2 {
            return Ok(Bson::Null);
        }
        let axis = self.axis(slope.unit.is_some(), partition)?;
        let first = self.eval(&slope.input, start, partition)?;
        let last = self.eval(&slope.input, end - 1, partition)?;
        let (Some(first), Some(last)) = (
            number_or_null("$derivative", &first)?,
            number_or_null("$derivative", &last)?,
        ) else {
            return Ok(Bson::Null);
        };
        let run = (axis[end - 1] - axis[start]) / slope.unit.unwrap_or(1.0);
        let steepness = last.subtract(first).divide(Number::Double(run));
        Ok(steepness.map_or(Bson::Null, Number::to_bson))
    }

    /// The area below the line through the values, by the trapezoidal rule.
    fn integral(
        &self,
        slope: &Slope,
        (start, end): (usize, usize),
        partition: &mut Partition,
    ) -> Result<Bson> {
        let axis = self.axis(slope.unit.is_some(), partition)?;
        let mut area = Sum::default();
        let mut before: Option<(f64, Number)> = None;
        for row in start..end {
            let value = self.eval(&slope.input, row, partition)?;
            let Some(value) = number_or_null("$integral", &value)? else {
                continue;
            };
            if let Some((x, y)) = before {
                let width = Number::Double((axis[row] - x) / 2.0);
                area.add(y.add(value).multiply(width));
            }
            before = Some((axis[row], value));
        }
        let area = area.total();
        let unit = Number::Double(slope.unit.unwrap_or(1.0));
        Ok(match slope.unit {
            Some(_) => area.divide(unit).unwrap_or(area).to_bson(),
            None => area.to_bson(),
        })
    }

    fn moving_average(&mut self, value: &Bson, alpha: Number) -> Bson {
        if let Some(value) = Number::from_bson(value) {
            let average = match self.memory.average {
                None => value,
                Some(before) => {
                    let rest = Number::Int(1).subtract(alpha);
                    value.multiply(alpha).add(before.multiply(rest))
                }
            };
            self.memory.average = Some(average);
        }
        self.memory.average.map_or(Bson::Null, Number::to_bson)
    }

    fn linear_fill(&mut self, input: &Expr, row: usize, partition: &mut Partition) -> Result<Bson> {
        let dates = match self.order {
            Some(order) => {
                let key = partition.key(row, &order.pattern)?;
                matches!(key.first(), Some(Bson::DateTime(_)))
            }
            None => false,
        };
        let axis = self.axis(dates, partition)?;
        if row > 0 && axis[row] == axis[row - 1] {
            return Err(CommandError::location(
                6_050_106,
                "There can be no repeated values in the sort field",
            ));
        }
        let value = self.eval(input, row, partition)?;
        if number_or_null("$linearFill", &value)?.is_some() {
            self.memory.known = Some((row, value.clone()));
            self.memory.upcoming = None;
            return Ok(value);
        }
        let Some((from, first)) = &self.memory.known else {
            return Ok(Bson::Null);
        };
        let (from, Some(first)) = (*from, Number::from_bson(first)) else {
            return Ok(Bson::Null);
        };
        let upcoming = match self.memory.upcoming {
            Some(upcoming) => upcoming,
            None => {
                let mut found = None;
                for later in row + 1..partition.len() {
                    let value = self.eval(input, later, partition)?;
                    if let Some(number) = number_or_null("$linearFill", &value)? {
                        found = Some((later, number));
                        break;
                    }
                }
                found
            }
        };
        self.memory.upcoming = Some(upcoming);
        let Some((to, last)) = upcoming else {
            return Ok(Bson::Null);
        };
        let share = Number::Double((axis[row] - axis[from]) / (axis[to] - axis[from]));
        Ok(first.add(last.subtract(first).multiply(share)).to_bson())
    }
}

/// A number, or `None` for null; anything else is refused.
fn number_or_null(name: &str, value: &Bson) -> Result<Option<Number>> {
    match Number::from_bson(value) {
        Some(number) => Ok(Some(number)),
        None if types::is_nullish(Some(value)) => Ok(None),
        None => Err(CommandError::location(
            5_624_903,
            format!(
                "{name} expects numeric or null input, but found {}",
                types::name(Some(value))
            ),
        )),
    }
}
