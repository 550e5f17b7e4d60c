use super::*;
use crate::engine::names::ddns::all::Followers;
use crate::engine::names::ddns::request::NameRequest;

const A: &str = "192.0.2.10";
const B: &str = "192.0.2.20";

fn at(ms: u64) -> Now {
    Now {
        mono: Instant::from_micros((1_000_000 + ms) * 1000),
        utc: Some(Utc(1_900_000_000_000 + ms)),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What is wanted: an IPv4 address, none, or whatever there is.
fn wish(v4: Record) -> Wish {
    Wish { records: PerFamily { v4, v6: Record::Keep }, doubt: false, clock: true, repeats: false }
}

fn is(text: &str) -> Wish {
    wish(Record::Is(ip(text)))
}

/// A name and a server that does as it is told after 50 ms, unless it fails.
#[derive(Default)]
struct Play {
    follower: Follower,
    says: Vec<IpAddr>,
    /// A service: what others are told comes after so long, which only its name server says; `None`: nobody does.
    service: Option<Option<u64>>,
    fails: Option<NameFailure>,
    writes: Vec<u64>,
    tries: Vec<u64>,
    news: Vec<News>,
    number: u64,
    due: Option<(u64, NameRequest)>,
}

impl Play {
    /// Plays from one time to another, in ms.
    fn play(&mut self, from: u64, to: u64, wish: impl Fn(u64) -> Wish) {
        for ms in (from..to).step_by(10) {
            if let Some((_, request)) = self.due.take_if(|(at, _)| *at <= ms) {
                let result = self.answer(&request, ms);
                let reply = NameReply { number: request.number, name: String::new(), result };
                self.news.extend(self.follower.ended(&reply, at(ms)));
            }
            let wish = wish(ms);
            let now = at(ms).mono;
            self.follower.want(&wish, now);
            self.follower.forget_lost(now);
            if let Some(task) = self.follower.due(&wish, at(ms)) {
                self.number += 1;
                self.follower.ask((self.number, task), Owners::default(), now);
                let (number, records) = (self.number, self.follower.records(now));
                let request =
                    NameRequest { number, name: String::new(), task, records, paths: Vec::new() };
                self.due = Some((ms + 50, request));
            } else if let Some(next) = self.follower.deadline(&wish) {
                assert!(next > now, "at {ms} it wants to be woken in the past");
            }
        }
    }

    fn answer(&mut self, request: &NameRequest, ms: u64) -> Result<Seen, NameFailure> {
        if request.task == Task::Write {
            self.tries.push(ms);
            if let Some(failure) = &self.fails {
                return Err(failure.clone());
            }
        }
        let before = self.says.clone();
        match request.records.v4 {
            Record::Is(ip) if request.task == Task::Write => self.says = vec![ip],
            Record::None if request.task == Task::Write => self.says.clear(),
            Record::Is(_) | Record::None | Record::Keep => {}
        }
        let wrote = before != self.says;
        if wrote {
            self.writes.push(ms);
        }
        let says = Some(PerFamily { v4: self.says.clone(), v6: Vec::new() });
        let Some(late) = self.service else { return Ok(Seen { wrote, says, others_say: None }) };
        let known = |late| self.writes.last().is_some_and(|written| written + late <= ms);
        let others_say = late
            .filter(|_| request.task == Task::Look)
            .and_then(|late| if known(late) { says } else { Some(PerFamily::default()) });
        Ok(Seen { wrote, says: None, others_say })
    }
}

fn failure(then: Then, sent: bool) -> Option<NameFailure> {
    Some(NameFailure { why: "why".to_owned(), then, sent })
}

#[test]
fn a_lasting_move_is_written_within_two_seconds_and_told() {
    let mut play = Play::default();
    play.play(0, 100_000, |_| is(A));
    assert_eq!(play.writes, [950], "900 ms to settle, 50 to write");
    play.play(100_000, 110_000, |_| is(B));
    assert_eq!(play.writes, [950, 100_950]);
    assert_eq!((play.follower.state(), play.says), (State::Right, vec![ip(B)]));
    assert_eq!(play.follower.seen(), (true, Some(Duration::from_millis(950))));
    assert_eq!(play.news, [News::Written, News::Written]);
}

#[test]
fn what_flaps_is_written_once_a_minute_at_most_and_right_in_the_end() {
    for period in [300, 1000, 2500, 7000, 20_000, 59_000] {
        let mut play = Play::default();
        play.play(0, 300_000, |ms| is(if ms / period % 2 == 0 { A } else { B }));
        let gaps = play.writes.windows(2).all(|pair| pair[1] - pair[0] >= 60_000);
        assert!(gaps && play.writes.len() <= 5, "{period}: {:?}", play.writes);
        play.play(300_000, 362_000, |_| is(B));
        assert_eq!(play.says, [ip(B)], "{period}");
    }
}

#[test]
fn what_comes_back_within_a_moment_is_not_written() {
    let mut play = Play::default();
    play.play(0, 70_000, |_| is(A));
    play.play(70_000, 120_000, |ms| is(if ms < 70_800 { B } else { A }));
    assert_eq!(play.writes, [950]);
}

#[test]
fn a_line_in_doubt_is_waited_for_but_not_for_ever() {
    let doubt = |until: u64| move |ms: u64| Wish { doubt: ms < until, ..is(A) };
    let mut play = Play::default();
    play.play(0, 10_000, doubt(1500));
    assert_eq!(play.writes, [1550]);
    let mut play = Play::default();
    play.play(0, 10_000, doubt(u64::MAX));
    assert_eq!(play.writes, [4050]);
}

#[test]
fn an_address_is_taken_away_only_when_that_lasts() {
    let mut play = Play::default();
    play.play(0, 70_000, |_| is(A));
    play.play(70_000, 100_000, |_| wish(Record::None));
    play.play(100_000, 110_000, |_| is(A));
    assert_eq!(play.writes, [950], "half a minute without");
    play.play(110_000, 180_000, |_| wish(Record::None));
    assert_eq!((play.writes.len(), play.says.len()), (2, 0));
    assert_eq!(play.follower.state(), State::NoAddress);
    assert!(play.writes[1] >= 170_000, "{:?}", play.writes);
    play.play(180_000, 300_000, |_| wish(Record::Keep));
    assert_eq!(play.writes.len(), 2, "nothing is known, and nothing is done");
}

#[test]
fn what_is_there_already_is_not_written() {
    let mut play = Play { says: vec![ip(A)], ..Play::default() };
    play.play(0, 10_000, |_| is(A));
    assert_eq!((play.writes.len(), play.tries.len(), play.follower.state()), (0, 1, State::Right));
    play.play(10_000, 12_000, |_| is(B));
    assert_eq!(play.writes, [10_950], "and that was no write");
}

#[test]
fn what_others_change_is_put_right_within_the_hour() {
    let mut play = Play::default();
    play.play(0, 10_000, |_| is(A));
    play.says = vec![ip(B)];
    play.play(10_000, 3_700_000, |_| is(A));
    assert_eq!((play.writes.len(), &play.says), (2, &vec![ip(A)]));
}

#[test]
fn failures_are_tried_again_more_and_more_seldom() {
    // How it fails, and when it is tried within an hour, in seconds.
    let rows: [(Option<NameFailure>, &[u64]); 4] = [
        (failure(Then::Retry, false), &[0, 6, 21, 81, 381, 1281, 2181, 3081]),
        (failure(Then::Retry, true), &[0, 60, 120, 181, 481, 1381, 2281, 3181]),
        (failure(Then::RetryAfter(Duration::from_secs(1800)), false), &[0, 1801]),
        (failure(Then::Stay, false), &[0]),
    ];
    for (fails, expected) in rows {
        let mut play = Play { fails, ..Play::default() };
        play.play(0, 3_600_000, |_| is(A));
        let tries: Vec<u64> = play.tries.iter().map(|ms| ms / 1000).collect();
        assert_eq!(tries, expected, "{:?}", play.fails);
        assert_eq!(play.news.len(), 1, "it is told once");
        assert!(play.writes.is_empty());
        play.fails = None;
        play.follower.failing = None;
        play.play(3_600_000, 4_600_000, |_| is(A));
        assert_eq!(play.follower.state(), State::Right, "a new configuration");
    }
}

#[test]
fn a_clock_that_is_not_set_is_waited_for() {
    let mut play = Play::default();
    play.play(0, 60_000, |ms| Wish { clock: ms >= 30_000, ..is(A) });
    assert_eq!(play.writes, [30_050]);
}

#[test]
fn a_request_of_which_nothing_is_heard_is_given_up() {
    let mut play = Play::default();
    play.play(0, 1000, |_| is(A));
    play.due = None;
    play.follower.asked.get_or_insert(Asked {
        number: 99,
        at: at(950).mono,
        task: Task::Write,
        records: PerFamily::default(),
        void: false,
    });
    play.play(1000, 200_000, |_| is(B));
    assert_eq!(play.says, [ip(B)]);
}

#[test]
fn what_is_kept_outlives_a_restart() {
    let mut play = Play::default();
    play.play(0, 10_000, |_| is(A));
    let config = crate::config::parse(
        "[[uplink]]\nname = \"a\"\ninterface = \"eth1\"\n[[ddns]]\nname = \"home.example.net\"\n\
         protocol = \"url\"\nserver = \"http://192.0.2.1/?ip={ipv4}\"\n",
        "test",
    );
    let names = config.unwrap().ddns;
    let mut all = Followers::default();
    *all.of("home.example.net") = play.follower;
    *all.of("gone.example.net") =
        Follower::kept(&Kept { v4: Some(ip(A)), v6: None, at: None }, at(0));
    let kept = all.keep(&names);
    assert_eq!(kept.len(), 1, "{kept:?}");
    let again = Followers::restored(&kept, at(0));
    assert_eq!(again.get("home.example.net").unwrap().says().v4, Some(ip(A)));
}

#[test]
fn what_says_nothing_is_told_the_same_again_after_four_weeks() {
    let wish = Wish { repeats: true, ..is(A) };
    let later = |days: u64| Now {
        utc: Some(Utc(1_900_000_000_000 + 1_000_000 + days * 86_400_000)),
        ..at(0)
    };
    let kept = Kept { v4: Some(ip(A)), v6: None, at: at(0).utc };
    let mut follower = Follower::kept(&kept, later(1));
    follower.want(&wish, at(0).mono);
    assert_eq!(follower.due(&wish, later(27)), None);
    assert_eq!(follower.due(&wish, Now { utc: None, ..later(29) }), None);
    assert_eq!(follower.due(&wish, later(29)), Some(Task::Write));
    assert_eq!(follower.due(&is(A), later(29)), None, "the others are asked");
}

#[test]
fn what_a_service_took_is_looked_for_where_others_ask() {
    let mut play = Play { service: Some(Some(5000)), ..Play::default() };
    play.play(0, 4000, |_| is(A));
    assert!(play.follower.is_missed() && !play.follower.seen().0, "looked after 2 s, in vain");
    play.play(4000, 20_000, |_| is(A));
    assert_eq!(
        play.follower.seen(),
        (true, Some(Duration::from_millis(15_100))),
        "looked 2 s, 2 s and 10 s later"
    );
    assert!(!play.follower.is_missed());
    // Nobody can be asked: what the service said stands, and it is not told again.
    for service in [None, Some(10_000_000)] {
        let mut play = Play { service: Some(service), ..Play::default() };
        play.play(0, 5_000_000, |_| is(A));
        assert_eq!(play.follower.seen(), (false, None));
        assert_eq!(
            (play.follower.is_missed(), play.follower.state()),
            (service.is_some(), State::Right)
        );
        assert_eq!(play.tries, [950], "{service:?}");
    }
}

#[test]
fn the_minute_between_two_writes_outlives_the_agent() {
    let kept = Kept { v4: Some(ip(A)), v6: None, at: at(0).utc };
    // When the agent is there again, by which clock, and when the next may be written.
    let unset = Now { utc: None, ..at(1000) };
    let back = Now { utc: Some(Utc(1)), ..at(1000) };
    let rows = [
        (at(20_000), 60_000),
        (at(59_000), 60_000),
        (at(70_000), 70_900),
        (unset, 61_000),
        (back, 61_000),
    ];
    for (now, expected) in rows {
        let mut follower = Follower::kept(&kept, now);
        follower.want(&is(B), now.mono);
        assert_eq!(follower.deadline(&is(B)), Some(at(expected).mono), "{now:?}");
    }
}

#[test]
fn what_may_have_been_written_is_not_believed_to_be_otherwise() {
    let mut play = Play::default();
    play.play(0, 70_000, |_| is(A));
    // The server takes it, its answer is lost, and what stood before is wanted again.
    play.fails = failure(Then::Retry, true);
    play.play(70_000, 72_000, |_| is(B));
    (play.says, play.fails) = (vec![ip(B)], None);
    assert_eq!(play.follower.says().v4, None, "nobody knows");
    play.play(72_000, 140_000, |_| is(A));
    assert_eq!((play.says, play.follower.state()), (vec![ip(A)], State::Right));
}

#[test]
fn what_need_not_be_written_any_more_does_not_fail() {
    let mut play = Play::default();
    play.play(0, 70_000, |_| is(A));
    for (then, state) in [(Then::Retry, State::Right), (Then::Stay, State::Refused)] {
        play.fails = failure(then, false);
        play.play(70_000, 75_000, |_| is(B));
        assert!(play.follower.why().is_some(), "control: {then:?}");
        play.fails = None;
        play.play(75_000, 80_000, |_| is(A));
        assert_eq!(play.follower.state(), state, "{then:?}");
    }
}

#[test]
fn nothing_is_told_again_of_which_nothing_is_known() {
    let kept = Kept { v4: Some(ip(A)), v6: None, at: at(0).utc };
    let later = Now { utc: Some(Utc(1_900_000_000_000 + 29 * 86_400_000)), ..at(10_000) };
    for (record, due) in [(Record::Keep, None), (Record::Is(ip(A)), Some(Task::Write))] {
        let mut follower = Follower::kept(&kept, later);
        let wish = Wish { repeats: true, ..wish(record) };
        follower.want(&wish, later.mono);
        assert_eq!(follower.due(&wish, later), due, "{record:?}");
    }
}

#[test]
fn a_name_server_knows_better_than_what_was_kept() {
    let kept = Kept { v4: Some(ip(A)), v6: None, at: at(0).utc };
    // The power went before it was kept that B was written.
    let mut play = Play { says: vec![ip(B)], service: Some(Some(0)), ..Play::default() };
    play.writes.push(0);
    play.follower = Follower::kept(&kept, at(100_000));
    play.play(100_000, 110_000, |_| is(A));
    assert_eq!(play.says, [ip(A)]);
    // One that nobody can look at is believed.
    let mut play = Play { says: vec![ip(B)], service: Some(None), ..Play::default() };
    play.follower = Follower::kept(&kept, at(100_000));
    play.play(100_000, 110_000, |_| is(A));
    assert!(play.tries.is_empty(), "{:?}", play.tries);
}

#[test]
fn an_address_is_not_taken_away_beside_another_that_is_written() {
    let mut follower = Follower::default();
    let wish = Wish { records: PerFamily { v4: Record::Is(ip(A)), v6: Record::None }, ..is(A) };
    follower.want(&wish, at(0).mono);
    let soon = PerFamily { v4: Record::Is(ip(A)), v6: Record::Keep };
    assert_eq!(follower.records(at(59_000).mono), soon);
    assert_eq!(follower.records(at(60_000).mono), wish.records);
}

#[test]
fn another_configuration_leaves_the_minute_and_the_request_as_they_are() {
    let mut play = Play::default();
    play.play(0, 920, |_| is(A));
    let anew = play.follower.anew();
    assert_ne!(anew, Follower::default(), "a request is under way");
    play.follower = anew;
    play.play(920, 70_000, |_| is(B));
    assert_eq!(
        play.writes,
        [950, 60_950],
        "the old one ends, and a minute later comes the new one"
    );
    assert_eq!(play.says, [ip(B)]);
}
