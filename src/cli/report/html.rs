//! The report as one page that can be printed and sent: nothing is loaded from anywhere.

use super::owed;
use super::text::{Look, heading, of_records, why_away};
use super::words::{
    felt, full, how_long, how_long_without, length, not_counted, of_home, of_uplink, percent,
    remarks, why, why_without,
};
use crate::engine::report::{Report, Why};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;\
color:#1a1f24;background:#fff}h1{font-size:1.4rem}h2{font-size:1.1rem;margin:1.6rem 0 .3rem}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .8rem .3rem 0;\
border-bottom:1px solid #d9dee3;vertical-align:top}td.n{text-align:right;white-space:nowrap;\
font-variant-numeric:tabular-nums}td.t{white-space:nowrap}small{color:#57606a}\
@media print{body{margin:0;max-width:none;font-size:11pt}tr{break-inside:avoid}h2{break-after:avoid}}";

pub(super) fn render(report: &Report, look: &Look<'_>) -> String {
    let title = escaped(&heading(report));
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n<h1>{title}</h1>\n"
    );
    let Some(known) = report.known else {
        return out + "<p>Nothing is recorded of that time.</p>\n</html>\n";
    };
    if known > report.span.from + 60_000 {
        out += &format!("<p><small>recorded since {}</small></p>\n", escaped(&full(known)));
    }
    let home = &report.home;
    let said: Vec<String> = [of_home(home)].into_iter().chain(felt(home)).collect();
    let mut sums = vec![[
        "Home".to_owned(),
        percent(home.availability),
        said.join(
            "
",
        ),
    ]];
    for uplink in &report.uplinks {
        sums.push([uplink.name.clone(), percent(uplink.availability), of_uplink(uplink)]);
    }
    out += &table(["", "online", ""], &sums, "n");
    let without = report.home.outages.iter().filter(|outage| outage.down > 0);
    let without: Vec<[String; 3]> =
        without.map(|one| [full(one.span.from), how_long_without(one), why_without(one)]).collect();
    out += &section("No Internet at all", &without);
    for uplink in &report.uplinks {
        let rows: Vec<[String; 3]> = uplink
            .incidents
            .iter()
            .map(|one| {
                let said = [why(one)].into_iter().chain(remarks(one)).collect::<Vec<_>>();
                [full(one.span.from), how_long(one), said.join("\n")]
            })
            .collect();
        let more = owed::said(uplink);
        if rows.is_empty() && !more.is_empty() {
            out += &format!("<h2>{}</h2>\n", escaped(&uplink.name));
        }
        out += &section(&uplink.name, &rows);
        out += &more.iter().map(|said| format!("<p>{}</p>\n", escaped(said))).collect::<String>();
    }
    if let Some(said) = not_counted(report) {
        out += &format!("<h2>{}</h2>\n", escaped(&said));
        let rows: Vec<[String; 3]> = report
            .away
            .iter()
            .map(|away| {
                let most = if away.why == Why::Power { "≤ " } else { "" };
                let long = format!("{most}{}", length(away.span.ms()));
                [full(away.span.from), long, why_away(away.why).to_owned()]
            })
            .collect();
        out += &table(["from", "how long", "why"], &rows, "n");
    }
    if let Some(records) = look.records {
        out += &format!("<p><small>{}</small></p>\n", escaped(&of_records(records)));
    }
    out + "</html>\n"
}

fn section(title: &str, rows: &[[String; 3]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    format!("<h2>{}</h2>\n{}", escaped(title), table(["from", "how long", "why"], rows, "n"))
}

fn table(head: [&str; 3], rows: &[[String; 3]], middle: &str) -> String {
    let head: String = head.iter().map(|name| format!("<th>{}</th>", escaped(name))).collect();
    let mut out = format!("<table>\n<tr>{head}</tr>\n");
    for [first, second, third] in rows {
        let third = escaped(third).replace('\n', "<br>");
        let (first, second) = (escaped(first), escaped(second));
        out += &format!(
            "<tr><td class=\"t\">{first}</td><td class=\"{middle}\">{second}</td><td>{third}</td></tr>\n"
        );
    }
    out + "</table>\n"
}

/// Text, whatever it says.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
