//! What is nearly always as it began: until it is changed it takes a pointer, so that whatever is idle pays for nothing that it does
//! not use.

use std::ops::Deref;

/// See the head of this file.
#[derive(Debug)]
pub struct Rare<T>(Option<Box<T>>);

/// Has a value to look at where there is none.
pub trait Blank: Default + 'static {
    /// What [`Default`] makes, for all.
    fn blank() -> &'static Self;
}

impl<T> Default for Rare<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: Default> Rare<T> {
    /// Of a value that has changed.
    pub fn new(value: T) -> Self {
        Self(Some(Box::new(value)))
    }

    /// Whether it is as it began, or was cleared.
    #[inline]
    pub fn is_blank(&self) -> bool {
        self.0.is_none()
    }

    /// To be read; none: it is as it began.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        self.0.as_deref()
    }

    /// To be changed where it was changed before; none: it is as it began.
    #[inline]
    pub fn changed(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut()
    }

    /// To be changed.
    #[inline]
    pub fn change(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }

    /// What it has become; it is as it began again.
    pub fn take(&mut self) -> T {
        self.0.take().map_or_else(T::default, |value| *value)
    }

    /// Makes it what it was when it began.
    pub fn clear(&mut self) {
        self.0 = None;
    }
}

impl<T: Blank> Deref for Rare<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match &self.0 {
            Some(value) => value,
            None => T::blank(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Count(u32);

    impl Blank for Count {
        fn blank() -> &'static Self {
            &Self(0)
        }
    }

    #[test]
    fn it_takes_room_only_between_its_change_and_its_end() {
        let mut count = Rare::<Count>::default();
        assert_eq!((size_of_val(&count), count.0.is_none(), (*count).0), (size_of::<usize>(), true, 0));
        assert!(count.changed().is_none() && count.is_blank(), "who looks changes nothing");
        count.change().0 += 2;
        assert_eq!((count.get().map(|count| count.0), (*count).0), (Some(2), 2));
        assert_eq!((count.take().0, count.is_blank()), (2, true));
        count.change();
        count.clear();
        assert!(count.is_blank());
    }
}
