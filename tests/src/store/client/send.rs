//! What a client asks: commits, and what became of them.

use seawall::Commit;
use seawall::frame::{self, FrameMeta, Kind};
use seawall::map::{Generation, ShardId};
use seawall::message::Opcode;
use seawall::message::settle::SettleRequest;
use seawall::position::{Lineage, Position};
use seawall::token::Token;

use super::{Last, Oddity, Shopper};
use crate::client::Workload;
use crate::store::Shared;
use crate::store::draw::Drawing;
use crate::store::history::{Answer, Ask, Asked, Attempt, Book, at, under_key_of, write_many};
use crate::world::{LINEAGE, When};

impl Shopper {
    pub fn think(&mut self, when: When, of: &Workload, shared: &mut Shared) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.ready || self.half_closed || self.pending.len() as u64 >= of.window {
            return out;
        }
        if self.left > 0 {
            self.left -= 1;
            self.begin(when, of, shared, &mut out);
        } else if when.healed {
            self.end(when, shared, &mut out);
        }
        out
    }

    fn begin(&mut self, when: When, of: &Workload, shared: &mut Shared, out: &mut Vec<u8>) {
        let keyed = self.any_keyed(&shared.book);
        match (self.random.below(130), keyed) {
            (0..48, _) | (_, None) => {
                let asked = self.draw(when, of, shared, None);
                self.send_commit(when, asked, &mut shared.book, out);
            }
            (48..52, _) => self.commit_many(when, of, shared, out),
            (52..66, Some(asked)) => {
                let asked = self.doubtful.pop().filter(|_| self.random.chance(500)).unwrap_or(asked);
                self.send_commit(when, asked, &mut shared.book, out);
            }
            (66..70, Some(asked)) => {
                // Another content under a key that is used already.
                let asked = self.draw(when, of, shared, Some(asked));
                self.send_commit(when, asked, &mut shared.book, out);
            }
            (70..76, Some(asked)) => self.settle(Opcode::StatusOf, when, asked, None, &mut shared.book, out),
            (76..80, Some(asked)) => self.settle(Opcode::Resolve, when, asked, None, &mut shared.book, out),
            (80..82, _) => {
                // The commit may come later.
                let asked = self.draw(when, of, shared, None);
                if shared.book.asked[asked].key.is_some() {
                    self.settle(Opcode::Resolve, when, asked, None, &mut shared.book, out);
                } else {
                    self.send_commit(when, asked, &mut shared.book, out);
                }
            }
            _ => self.look(when, of, shared, out),
        }
    }

    fn end(&mut self, when: When, shared: &mut Shared, out: &mut Vec<u8>) {
        if let Some(asked) = self.doubtful.pop() {
            let last = Some(Last::Resolve(asked));
            return self.settle(Opcode::Resolve, when, asked, last, &mut shared.book, out);
        }
        match self.last.pop() {
            Some(last @ Last::Resolve(asked)) => {
                self.settle(Opcode::Resolve, when, asked, Some(last), &mut shared.book, out);
            }
            Some(last @ Last::Get(place)) => self.get(when, place, Some(last), shared, out),
            Some(last @ Last::Scan(partition, table)) => {
                self.scan_all(when, partition, table, last, shared, out);
            }
            Some(last @ Last::Watch(partition)) => self.watch_all(when, partition, last, shared, out),
            None => {}
        }
    }

    /// A commit of anybody, most often a late one.
    pub(super) fn any_keyed(&mut self, book: &Book) -> Option<usize> {
        let many = book.asked.len();
        let reach = if self.random.chance(700) { many.min(8) } else { many };
        if many == 0 {
            return None;
        }
        let pick = many - 1 - self.random.index(reach);
        book.asked[pick].key.is_some().then_some(pick)
    }

    /// A new commit, or one under the key of another.
    fn draw(&mut self, when: When, of: &Workload, shared: &mut Shared, like: Option<usize>) -> usize {
        let Shared { places, learnt, book, .. } = shared;
        let number = book.asked.len();
        let keyed = like.is_some() || self.random.chance(600);
        let partition = match like {
            Some(like) => {
                let key = book.asked[like].commit.partition().clone();
                (0..of.partitions).find(|n| places.partition(*n) == key).expect("one of ours")
            }
            None => self.random.index(of.partitions),
        };
        let random = &mut self.random;
        let mut drawing = Drawing { random, learnt, places, of, partition, wall_us: when.wall_us };
        let mut commit = drawing.commit(number, !keyed);
        if self.random.chance(10) {
            commit = commit.durable_on(3);
        }
        commit = match like.map(|like| &book.asked[like]) {
            Some(like) => under_key_of(commit, &like.commit),
            None if keyed => self.named(commit, number, when),
            None => commit,
        };
        let asked = Asked::new(commit, places.shard(partition));
        // Chance may draw the same content under the same key again: that is the same commit.
        let same = |known: &Asked| {
            known.key.is_some() && (&known.key, known.fingerprint) == (&asked.key, asked.fingerprint)
        };
        match book.asked.iter().position(same) {
            Some(known) => known,
            None => {
                book.asked.push(asked);
                number
            }
        }
    }

    fn named(&mut self, commit: Commit, number: usize, when: When) -> Commit {
        let hour = 3_600_000_000;
        let off = match self.random.below(40) {
            0 => -25 * hour,
            1 => -23 * hour,
            2 => 120_000_000,
            _ => -i64::try_from(self.random.below(2_000_000)).expect("small"),
        };
        let born = when.wall_us + off;
        if self.random.chance(650) {
            return commit.key(format!("k{number}")).first_sent(born);
        }
        self.sequence += if self.random.chance(40) { 600 } else { 1 };
        let session = [u8::try_from(self.number).expect("few clients"); 16];
        commit.session_key(session, self.sequence, born)
    }

    fn oddity(&mut self, shard: ShardId) -> Oddity {
        let usual = Oddity { generation: self.session.generation(), ..Oddity::default() };
        match self.random.below(100) {
            0 => Oddity { generation: Generation(1), ..usual },
            1 => Oddity { generation: Generation(3), ..usual },
            2 => Oddity { shard: ShardId(shard.0 + 7), ..usual },
            3..20 => Oddity { deadline_ms: 1, ..usual },
            20..30 => Oddity { shard, ..usual },
            30..40 => Oddity { generation: Generation::ANY, ..usual },
            _ => usual,
        }
    }

    /// Writes the frame of `many` requests in one, and notes them as under way.
    pub(super) fn ask(
        &mut self,
        when: When,
        opcode: Opcode,
        asks: Vec<(ShardId, Ask, Option<Last>)>,
        book: &mut Book,
        out: &mut Vec<u8>,
        payload: impl FnOnce(&mut Vec<u8>),
    ) {
        let last = asks.iter().any(|(.., last)| last.is_some());
        let odd = if last { Oddity::default() } else { self.oddity(asks[0].0) };
        let odd = match &asks[..] {
            // Each shard has declarations of its own.
            [(shard, Ask::Declare(_) | Ask::Describe(_), _)] if odd.shard == ShardId::ANY => {
                Oddity { shard: *shard, ..odd }
            }
            [_] => odd,
            _ => Oddity { shard: ShardId::ANY, ..odd },
        };
        let meta = FrameMeta {
            kind: Kind::Request,
            opcode: opcode as u16,
            correlation: self.correlation,
            generation: odd.generation,
            shard: odd.shard,
            deadline_ms: odd.deadline_ms,
            tags: &[],
        };
        frame::write(out, &meta, payload);
        for (shard, ask, last) in asks {
            self.pending.insert(self.correlation, (book.attempts.len(), last));
            self.correlation += 1;
            let (client, life, answer) = (self.number, self.life, Answer::Unknown);
            let invoked = when.moment;
            book.attempts.push(Attempt { client, shard, ask, invoked, answered: None, life, answer });
        }
    }

    fn send_commit(&mut self, when: When, asked: usize, book: &mut Book, out: &mut Vec<u8>) {
        let Asked { commit, shard, .. } = book.asked[asked].clone();
        let asks = vec![(shard, Ask::Commit(asked), None)];
        self.ask(when, Opcode::Commit, asks, book, out, |payload| commit.encode(payload));
    }

    fn commit_many(&mut self, when: When, of: &Workload, shared: &mut Shared, out: &mut Vec<u8>) {
        let many: Vec<usize> =
            (0..self.random.between(2, 4)).map(|_| self.draw(when, of, shared, None)).collect();
        let book = &mut shared.book;
        let commits: Vec<Commit> = many.iter().map(|asked| book.asked[*asked].commit.clone()).collect();
        if many.iter().any(|asked| book.asked[*asked].shard != book.asked[many[0]].shard) {
            shared.met.count("COMMIT_MANY over two shards");
        }
        let asks = many.iter().map(|asked| (book.asked[*asked].shard, Ask::Commit(*asked), None)).collect();
        self.ask(when, Opcode::CommitMany, asks, book, out, |payload| {
            write_many(payload, &commits);
        });
    }

    pub(super) fn settle(
        &mut self,
        opcode: Opcode,
        when: When,
        asked: usize,
        last: Option<Last>,
        book: &mut Book,
        out: &mut Vec<u8>,
    ) {
        let Asked { commit, shard, .. } = book.asked[asked].clone();
        let (ask, token) = match opcode {
            Opcode::StatusOf => {
                let token = match self.random.below(4) {
                    0 => self.lost_token(shard),
                    1 | 2 => self.token(shard),
                    _ => None,
                };
                (Ask::Status(asked, token.map(|token| at(token.position))), token)
            }
            _ => (Ask::Resolve(asked), None),
        };
        let request_key = commit.request_key().expect("only keys are asked about");
        let settle = SettleRequest { partition: commit.partition().as_bytes(), request_key, token };
        self.ask(when, opcode, vec![(shard, ask, last)], book, out, |payload| settle.encode(payload));
    }

    /// Of where it last stood.
    pub(super) fn token(&self, shard: ShardId) -> Option<Token> {
        Some(token_of(shard, *self.seen.get(&shard)?))
    }

    /// Of what may come to be: nobody has given it out.
    pub(super) fn token_ahead(&mut self, shard: ShardId) -> Option<Token> {
        let seen = *self.seen.get(&shard)?;
        let index = seen.index.0 + self.random.between(1, 6);
        Some(token_of(shard, Position::new(seen.epoch.0, index)))
    }

    /// Of what an earlier epoch never wrote, or had lost.
    pub(super) fn lost_token(&mut self, shard: ShardId) -> Option<Token> {
        let seen = *self.seen.get(&shard)?;
        let index = seen.index.0 + self.random.between(1, 60);
        (seen.epoch.0 > 1).then(|| token_of(shard, Position::new(seen.epoch.0 - 1, index)))
    }
}

fn token_of(shard: ShardId, position: Position) -> Token {
    Token { lineage_tag: Lineage(LINEAGE).tag(), shard, position }
}
