//! The connections of one worker by slot. A slot's serial changes each time it is given again, so that a number
//! names one connection for ever.

use crate::seam::ConnId;

/// `C` is what a driver knows of a connection.
pub(super) struct Connections<C> {
    slots: Vec<(u32, Option<C>)>,
    free: Vec<u32>,
    limit: u32,
}

impl<C> Connections<C> {
    pub fn new(limit: u32) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), limit }
    }

    pub fn limit(&self) -> u32 {
        self.limit
    }

    pub fn full(&self) -> bool {
        self.slots.len() - self.free.len() >= self.limit as usize
    }

    pub fn insert(&mut self, connection: C) -> ConnId {
        if let Some(slot) = self.free.pop() {
            let (serial, place) = &mut self.slots[slot as usize];
            *serial = serial.wrapping_add(1);
            *place = Some(connection);
            return ConnId { slot, serial: *serial };
        }
        self.slots.push((0, Some(connection)));
        ConnId { slot: self.slots.len() as u32 - 1, serial: 0 }
    }

    /// A connection that must be there: the core names none that it was told the end of.
    pub fn get_mut(&mut self, conn: ConnId) -> &mut C {
        self.find(conn).unwrap_or_else(|| panic!("{conn:?} is dead"))
    }

    /// A connection that may be gone.
    pub fn find(&mut self, conn: ConnId) -> Option<&mut C> {
        let (serial, connection) = self.slots.get_mut(conn.slot as usize)?;
        if *serial == conn.serial { connection.as_mut() } else { None }
    }

    pub fn remove(&mut self, conn: ConnId) -> C {
        self.get_mut(conn);
        self.free.push(conn.slot);
        self.slots[conn.slot as usize].1.take().expect("it was just looked at")
    }

    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &C)> {
        let slots = (0u32..).zip(&self.slots);
        slots.filter_map(|(slot, (serial, c))| Some((ConnId { slot, serial: *serial }, c.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_one_connection_for_ever() {
        let mut connections = Connections::new(2);
        let (a, b) = (connections.insert('a'), connections.insert('b'));
        assert!(connections.full());
        assert_eq!(connections.remove(a), 'a');
        assert!(!connections.full());
        let c = connections.insert('c');
        assert_eq!((c.slot, connections.find(a)), (a.slot, None), "the slot is the same, the number is not");
        assert_eq!(connections.iter().collect::<Vec<_>>(), [(c, &'c'), (b, &'b')]);
    }
}
