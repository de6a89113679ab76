//! Labels as enumerations: what a client may send never becomes a label, so the number of series has a bound that can be
//! read here. One number for each word is there from the start; counting is one addition, without a look-up or a lock.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::{EncodeMetric, LabelValueEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// A label that has one of a few values.
pub(crate) trait Word: Copy + fmt::Debug + Send + Sync + 'static {
    /// The name of the label.
    const LABEL: &'static str;
    /// Every value, in the order of [`Word::at`].
    const ALL: &'static [Self];

    /// Its place in [`Word::ALL`].
    fn at(self) -> usize;

    /// As it is written.
    fn word(self) -> &'static str;
}

/// Defines an enumeration and how its values are written.
macro_rules! words {
    ($(#[$about:meta])* $label:literal $name:ident { $($(#[$doc:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum $name { $($(#[$doc])* $value,)+ }

        impl $crate::metrics::word::Word for $name {
            const LABEL: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$value,)+];

            fn at(self) -> usize {
                self as usize
            }

            fn word(self) -> &'static str {
                match self { $(Self::$value => $word,)+ }
            }
        }

        impl prometheus_client::encoding::EncodeLabelValue for $name {
            fn encode(
                &self,
                encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
            ) -> std::fmt::Result {
                $crate::metrics::word::write(*self, encoder)
            }
        }
    };
}
pub(super) use words;

pub(super) fn write<W: Word>(word: W, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
    fmt::Write::write_str(encoder, word.word())
}

/// One number for each word; clones share them.
pub(crate) struct Numbers<W> {
    all: Arc<[AtomicU64]>,
    kind: MetricType,
    words: PhantomData<W>,
}

impl<W: Word> Numbers<W> {
    /// Numbers that only grow.
    pub(super) fn counters() -> Self {
        Self::of(MetricType::Counter)
    }

    /// Numbers that go up and down.
    pub(super) fn gauges() -> Self {
        Self::of(MetricType::Gauge)
    }

    fn of(kind: MetricType) -> Self {
        Self {
            all: W::ALL.iter().map(|_| AtomicU64::new(0)).collect(),
            kind,
            words: PhantomData,
        }
    }

    pub(super) fn add(&self, word: W, more: u64) {
        if let Some(number) = self.all.get(word.at()) {
            number.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub(super) fn subtract(&self, word: W, less: u64) {
        if let Some(number) = self.all.get(word.at()) {
            number.fetch_sub(less, Ordering::Relaxed);
        }
    }

    pub(super) fn set(&self, word: W, value: u64) {
        if let Some(number) = self.all.get(word.at()) {
            number.store(value, Ordering::Relaxed);
        }
    }

    fn read(&self, word: W) -> u64 {
        let number = self.all.get(word.at());
        number.map_or(0, |number| number.load(Ordering::Relaxed))
    }
}

impl<W> Clone for Numbers<W> {
    fn clone(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
            kind: self.kind,
            words: PhantomData,
        }
    }
}

impl<W> fmt::Debug for Numbers<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter()).finish()
    }
}

impl<W: Word> EncodeMetric for Numbers<W> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for word in W::ALL {
            let labels = [(W::LABEL, word.word())];
            let mut one = encoder.encode_family(&labels)?;
            let number = self.read(*word);
            match self.kind {
                MetricType::Gauge => one.encode_gauge(&number)?,
                _ => one.encode_counter::<NoLabelSet, u64, u64>(&number, None)?,
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }
}

/// One number that only grows; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Count(Arc<AtomicU64>);

impl Count {
    /// One more.
    pub(crate) fn one(&self) {
        self.add(1);
    }

    /// So many more.
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// What it has come to.
    #[cfg(test)]
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl EncodeMetric for Count {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let number = self.0.load(Ordering::Relaxed);
        encoder.encode_counter::<NoLabelSet, u64, u64>(&number, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}
