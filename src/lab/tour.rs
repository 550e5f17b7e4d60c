//! The story without a keyboard: the cable is severed, then the MiFi; both come back.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::agent::Agent;
use super::meter::Meter;
use super::script::{Action, LineEvent};
use super::topology::Home;
use crate::time::human;

/// The longest that one step may take.
const STEP_LIMIT: Duration = Duration::from_secs(15);
/// Calm between two steps: the lost and the answered become known, and the reader can follow.
const CALM: Duration = Duration::from_millis(1500);

/// How the tour is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    Text,
    /// One JSON object a line.
    Json,
}

/// What a step measured, as `--json` prints it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepReport {
    /// What happened, for example `failover: sever cable`.
    pub step: String,
    /// The uplink in use before.
    pub from: String,
    /// The uplink in use after.
    pub to: String,
    /// How long the client was without answers, in milliseconds, rounded up. On a failover from the
    /// event; on a failback the longest stretch from the event to the end of the step.
    pub gap_ms: u64,
    /// New flows of the client that were never answered.
    pub lost: u64,
}

struct Step<'a> {
    kind: Kind,
    story: &'static str,
    event: LineEvent,
    uplink: &'a str,
    from: &'a str,
    to: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Failover,
    Failback,
}

/// Plays the story and tells it to `out`.
///
/// # Errors
/// If the agent does not do what the story says, or `out` is closed.
pub async fn tour(
    home: &Home,
    agent: &mut Agent,
    meter: &Meter,
    telling: Telling,
    out: &mut (impl Write + ?Sized),
) -> Result<()> {
    let begun = Instant::now();
    let name = |i: usize| {
        home.uplinks.get(i).map(|u| u.name.as_str()).context("the tour needs three uplinks")
    };
    let steps = story(name(0)?, name(1)?, name(2)?);
    let mut reports = Vec::new();
    for step in &steps {
        sleep(CALM).await;
        if telling == Telling::Text {
            writeln!(out, "{:5.1} s  {}", begun.elapsed().as_secs_f64(), step.story)?;
        }
        let report = step
            .play(home, agent, meter)
            .await
            .with_context(|| format!("{} {}", step.event, step.uplink))?;
        match telling {
            Telling::Text => writeln!(out, "         {}", report.sentence())?,
            Telling::Json => writeln!(out, "{}", serde_json::to_string(&report)?)?,
        }
        out.flush()?;
        reports.push(report);
    }
    if telling == Telling::Text {
        let longest = reports.iter().map(|report| report.gap_ms).max().unwrap_or(0);
        let longest = human(Duration::from_millis(longest));
        writeln!(
            out,
            "\nTwo lines died and came back; the client was never without answers for longer than {longest}."
        )?;
    }
    Ok(())
}

fn story<'a>(first: &'a str, second: &'a str, third: &'a str) -> [Step<'a>; 4] {
    use Kind::{Failback, Failover};
    use LineEvent::{Restore, Sever};
    let step = |kind, story, event, uplink, from, to| Step { kind, story, event, uplink, from, to };
    [
        step(
            Failover,
            "A digger cuts the first line in the street. The modem at home stays up and answers.",
            Sever,
            first,
            first,
            second,
        ),
        step(Failover, "The second line dies the same way.", Sever, second, second, third),
        step(
            Failback,
            "The second line is back. It has to prove itself, then to hold for 3 s.",
            Restore,
            second,
            third,
            second,
        ),
        step(Failback, "The first line is back as well.", Restore, first, second, first),
    ]
}

impl Step<'_> {
    async fn play(&self, home: &Home, agent: &mut Agent, meter: &Meter) -> Result<StepReport> {
        let event = home.apply(&Action::line(self.uplink, self.event)).await?;
        let moved = |status: &super::agent::Status| status.active.as_deref() == Some(self.to);
        agent.wait(STEP_LIMIT, &format!("traffic on {}", self.to), moved).await?;
        let end = Instant::now() + CALM / 2;
        sleep(CALM).await;
        let (gap, lost) = match self.kind {
            Kind::Failover => {
                let gap = meter.gap_after(event).context("the client still has no answer")?;
                (gap.gap, gap.lost)
            }
            Kind::Failback => (meter.longest_hole(event, end), meter.flows(event, end).lost),
        };
        let word = match self.kind {
            Kind::Failover => "failover",
            Kind::Failback => "failback",
        };
        Ok(StepReport {
            step: format!("{word}: {} {}", self.event, self.uplink),
            from: self.from.to_owned(),
            to: self.to.to_owned(),
            gap_ms: u64::try_from(gap.as_micros().div_ceil(1000)).unwrap_or(u64::MAX),
            lost,
        })
    }
}

impl StepReport {
    fn sentence(&self) -> String {
        let Self { from, to, gap_ms, lost, .. } = self;
        if *lost == 0 {
            return format!(
                "{from} -> {to}: the client noticed nothing, every new flow was answered"
            );
        }
        let gap = human(Duration::from_millis(*gap_ms));
        format!("{from} -> {to}: new flows answered again after {gap} ({lost} went unanswered)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_goes_down_the_chain_and_back_up() {
        let steps = story("a", "b", "c");
        let path: Vec<_> = steps.iter().map(|step| (step.from, step.to)).collect();
        assert_eq!(path, [("a", "b"), ("b", "c"), ("c", "b"), ("b", "a")]);
    }

    #[test]
    fn a_step_is_one_line_of_json() {
        let report = StepReport {
            step: "failover: sever cable".into(),
            from: "cable".into(),
            to: "mifi".into(),
            gap_ms: 612,
            lost: 120,
        };
        let json = r#"{"step":"failover: sever cable","from":"cable","to":"mifi","gap_ms":612,"lost":120}"#;
        assert_eq!(serde_json::to_string(&report).unwrap(), json);
        let text = "cable -> mifi: new flows answered again after 612 ms (120 went unanswered)";
        assert_eq!(report.sentence(), text);
    }
}
