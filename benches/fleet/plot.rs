//! A sweep over sizes, as plots: starts and restarts at three distances from Zoho, a line for each;
//! and CPU, memory, calls and lateness against channels, and against accounts.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use super::Args;
use super::figures::Figures;
use super::phases;

/// Measures every size and draws three files into `folder`: `fleet-distance.svg`,
/// `fleet-channels.svg` and `fleet-accounts.svg`.
pub(crate) async fn sweep(args: &Args, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    distances(args, folder).await?;
    let series = [
        (
            CHANNELS,
            "channels of one account",
            [1, 100, 1_000, 10_000].map(|channels| (1, channels)),
        ),
        (
            "fleet-accounts.svg",
            "accounts of ten channels",
            [1, 10, 100, 1_000].map(|accounts| (accounts, 10)),
        ),
    ];
    for (file, axis, sizes) in series {
        let mut points = Vec::new();
        for (accounts, channels) in sizes {
            let figures = phases::measure(&Args { accounts, channels, ..args.clone() }).await?;
            println!("{}", figures.to_text());
            let size = if file == CHANNELS { channels } else { accounts };
            points.push(Point::of(&figures, size));
        }
        println!("{axis}: calls a channel and day, and the fewest that could do");
        for Point { size, values, floor } in &points {
            println!("  {size:>6}  {:.3}  {floor:.3}", values[CALLS]);
        }
        let line = Line { name: String::new(), points };
        std::fs::write(folder.join(file), svg(axis, PANELS, &[line]))?;
    }
    Ok(())
}

/// Starts and restarts, near and far.
async fn distances(args: &Args, folder: &Path) -> anyhow::Result<()> {
    let mut lines = Vec::new();
    for rtt in [0, 50, 250].map(Duration::from_millis) {
        let mut points = Vec::new();
        for accounts in [10, 100, 1_000] {
            let (channels, days, idle) = (10, 0, Duration::ZERO);
            let of_size = Args { accounts, channels, days, idle, rtt, ..args.clone() };
            let figures = phases::measure(&of_size).await?;
            println!("{}", figures.to_text());
            points.push(Point::at_distance(&figures));
        }
        lines.push(Line { name: format!("{} ms", rtt.as_millis()), points });
    }
    let drawn = svg("accounts of ten channels", STARTS, &lines);
    Ok(std::fs::write(folder.join("fleet-distance.svg"), drawn)?)
}

/// One line of each panel.
struct Line {
    /// Nothing when it is the only one.
    name: String,
    points: Vec<Point>,
}

/// The plotted values of one size.
struct Point {
    size: f64,
    values: [f64; 4],
    /// The fewest calls of a channel and day.
    floor: f64,
}

impl Point {
    fn of(figures: &Figures, size: usize) -> Point {
        let channels = (figures.accounts * figures.channels) as f64;
        let steady = figures.phase("steady state");
        let days = steady.map_or(1.0, |steady| steady.shown.as_secs_f64() / DAY.as_secs_f64());
        let calls = steady.map_or(0, |steady| steady.calls.values().sum::<u64>());
        let cpu = steady.map_or(Duration::ZERO, |steady| steady.taken.cpu);
        let peak = figures.phases.iter().map(|phase| phase.peak).max().unwrap_or_default();
        let floor = steady.map_or(0.0, |steady| {
            let floors = [steady.floor_writes, steady.floor_reads, steady.floor_tokens];
            floors.into_iter().flatten().sum::<f64>()
        });
        let late = steady.and_then(|steady| steady.lateness).unwrap_or_default().p99;
        Point {
            size: size as f64,
            values: [
                cpu.as_secs_f64() / days,
                peak as f64 / 1e6,
                calls as f64 / days / channels,
                late.as_secs_f64() * 1000.0,
            ],
            floor: floor / days / channels,
        }
    }
}

impl Point {
    fn at_distance(figures: &Figures) -> Point {
        let of = |name| figures.phase(name).cloned().unwrap_or_default();
        let (cold, restart) = (of("cold start"), of("restart"));
        let raw = cold.baseline.map_or(Duration::ZERO, |raw| raw.wall);
        Point {
            size: figures.accounts as f64,
            values: [
                cold.real.as_secs_f64(),
                restart.real.as_secs_f64(),
                cold.real.as_secs_f64() / raw.as_secs_f64().max(SMALLEST),
                cold.peak.max(restart.peak) as f64 / 1e6,
            ],
            floor: 0.0,
        }
    }
}

/// Four panels, both axes of each logarithmic.
fn svg(axis: &str, titles: [&str; 4], lines: &[Line]) -> String {
    let panels: String =
        titles.iter().enumerate().map(|(place, title)| panel(place, title, axis, lines)).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{panels}</svg>\n",
        2.0 * WIDTH,
        2.0 * HEIGHT,
    )
}

fn panel(place: usize, title: &str, axis: &str, lines: &[Line]) -> String {
    let (left, top) = ((place % 2) as f64 * WIDTH, (place / 2) as f64 * HEIGHT);
    let value = |point: &Point| point.values[place].max(SMALLEST);
    let points = lines.iter().flat_map(|line| &line.points);
    let sizes = points.clone().map(|point| point.size);
    let scale_x = Scale::over(sizes, left + MARGIN, left + WIDTH - 20.0);
    let scale_y = Scale::over(points.map(value), top + HEIGHT - MARGIN, top + 30.0);
    let mut text = format!(
        "<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text>\n",
        left + MARGIN,
        top + 18.0,
        title
    );
    let mut add = |more: String| {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{more}");
    };
    let bottom = top + HEIGHT - MARGIN;
    for decade in scale_x.decades() {
        let x = scale_x.at(decade);
        add(format!("<path d=\"M{x:.1} {:.1}V{bottom:.1}\" stroke=\"#ddd\"/>", top + 30.0));
        add(format!(
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{decade}</text>",
            bottom + 14.0
        ));
    }
    for decade in scale_y.decades() {
        let y = scale_y.at(decade);
        add(format!(
            "<path d=\"M{:.1} {y:.1}H{:.1}\" stroke=\"#ddd\"/>",
            left + MARGIN,
            left + WIDTH - 20.0
        ));
        add(format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{decade}</text>",
            left + MARGIN - 5.0,
            y + 4.0
        ));
    }
    let (middle, below) = (left + (WIDTH + MARGIN) / 2.0, bottom + 30.0);
    add(format!("<text x=\"{middle:.1}\" y=\"{below:.1}\" text-anchor=\"middle\">{axis}</text>"));
    for (number, (Line { name, points }, colour)) in lines.iter().zip(COLOURS).enumerate() {
        let spots = points
            .iter()
            .map(|point| (scale_x.at(point.size), scale_y.at(value(point)), point.values[place]));
        let line: Vec<String> = spots.clone().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        add(format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            line.join(" ")
        ));
        for (x, y, value) in spots.clone() {
            add(format!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"><title>{value:.3}</title></circle>"
            ));
        }
        let (x, y) = (left + WIDTH - 108.0 + 44.0 * number as f64, top + 18.0);
        add(format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\" fill=\"{colour}\">{name}</text>"
        ));
    }
    text
}

/// A logarithmic scale over whole decades.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn over(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Scale {
        let low = values.clone().fold(f64::INFINITY, f64::min).log10().floor();
        let high = values.fold(f64::MIN_POSITIVE, f64::max).log10().ceil();
        Scale { low, high: if high > low { high } else { low + 1.0 }, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value.log10() - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    fn decades(&self) -> impl Iterator<Item = f64> + use<> {
        (self.low as i32..=self.high as i32).map(|power| 10_f64.powi(power))
    }
}

const CHANNELS: &str = "fleet-channels.svg";
/// Where they stand in [`Point::values`].
const CALLS: usize = 2;
const PANELS: [&str; 4] = [
    "CPU of a steady day, in seconds",
    "most memory, in MB",
    "calls for a channel in a day",
    "lateness of renewals (p99), in ms of real time",
];
const STARTS: [&str; 4] = [
    "cold start, in seconds",
    "restart, in seconds",
    "cold start, times the baseline",
    "most memory, in MB",
];
/// Near, farther, far.
const COLOURS: [&str; 3] = ["#06c", "#c60", "#090"];
const DAY: Duration = Duration::from_secs(24 * 3600);
const WIDTH: f64 = 380.0;
const HEIGHT: f64 = 260.0;
const MARGIN: f64 = 55.0;
/// Stands for what a logarithm cannot show.
const SMALLEST: f64 = 0.001;
