//! Triple exponential smoothing (Holt 1957, Winters 1960) as Graphite computes it: additive season, with a deviation
//! after Brutlag (2000) for the confidence bands.

use super::{
    call::{Call, Function, Group, Outcome, Param, ParamKind, may, needs},
    error::GraphiteError,
    graph::between,
    series::Series,
};

/// Weight of the newest value in the level, and in the season and its deviation.
const ALPHA: f64 = 0.1;
/// Weight of the newest slope.
const BETA: f64 = 0.0035;
const GAMMA: f64 = 0.1;

const BANDS: &[Param] = &[
    needs("seriesList", ParamKind::SeriesList),
    may("delta", ParamKind::Integer).or("3"),
    may("bootstrapInterval", ParamKind::Interval).or("\"7d\""),
    may("seasonality", ParamKind::Interval).or("\"1d\""),
];

pub(super) static FUNCTIONS: &[Function] = &[
    Function {
        name: "holtWintersForecast",
        group: Group::Calculate,
        description: "The course that Holt and Winters' smoothing expects, from bootstrapInterval before the window on.",
        params: &[
            needs("seriesList", ParamKind::SeriesList),
            may("bootstrapInterval", ParamKind::Interval).or("\"7d\""),
            may("seasonality", ParamKind::Interval).or("\"1d\""),
        ],
        run: |call| {
            let forecast = |forecast: Forecast| {
                let Forecast { series, start_s, predictions, .. } = forecast;
                let name = format!("holtWintersForecast({})", series.name);
                Series {
                    start_s,
                    ..series
                        .tagged("holtWintersForecast", 1)
                        .tagged("holtWintersDeviation", 1)
                        .derived(name, predictions)
                }
            };
            Ok(forecasts(call, 1, 2)?.into_iter().map(forecast).collect::<Vec<_>>().into())
        },
    },
    Function {
        name: "holtWintersConfidenceBands",
        group: Group::Calculate,
        description: "The forecast less and plus delta times its usual deviation.",
        params: BANDS,
        run: |call| {
            Ok(bands(call)?.into_iter().flat_map(|(_, lower, upper)| [lower, upper]).collect::<Vec<_>>().into())
        },
    },
    Function {
        name: "holtWintersConfidenceArea",
        group: Group::Calculate,
        description: "The area between the confidence bands.",
        params: BANDS,
        run: |call| {
            let bands: Vec<Series> = bands(call)?.into_iter().flat_map(|(_, lower, upper)| [lower, upper]).collect();
            let rename = |one: Series| {
                let name = one.name.replace("areaBetween", "holtWintersConfidenceArea");
                let mut one = one.tagged("holtWintersConfidenceArea", 1).renamed(name);
                one.tags.remove("areaBetween");
                one
            };
            Ok(between(call, bands)?.into_iter().map(rename).collect::<Vec<_>>().into())
        },
    },
    Function {
        name: "holtWintersAberration",
        group: Group::Calculate,
        description: "By how much each value leaves the confidence bands; 0 within.",
        params: BANDS,
        run: aberration,
    },
];

/// A series from before the window, and what was expected of it within.
struct Forecast {
    series: Series,
    /// Start of the predictions.
    start_s: i64,
    predictions: Vec<f64>,
    deviations: Vec<f64>,
}

fn forecasts(call: &Call<'_>, bootstrap: usize, season: usize) -> Result<Vec<Forecast>, GraphiteError> {
    let ((preview_s, _), (season_s, _)) = (call.interval(bootstrap)?, call.interval(season)?);
    let read = call.again(call.context.from_s.saturating_sub(preview_s), call.context.until_s)?;
    let forecast = |series: Series| {
        let season = (season_s / series.step_s).max(1) as usize;
        let (predictions, deviations) = smooth(&series.values, season);
        let skipped = ((preview_s / series.step_s).max(0) as usize).min(predictions.len());
        let start_s = series.start_s + preview_s;
        Forecast {
            start_s,
            predictions: predictions[skipped..].to_vec(),
            deviations: deviations[skipped..].to_vec(),
            series,
        }
    };
    Ok(read.into_iter().map(forecast).collect())
}

/// What was expected at each value, and how far values usually are from that.
fn smooth(values: &[f64], season: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut predictions, mut deviations) = (Vec::with_capacity(values.len()), Vec::with_capacity(values.len()));
    let mut seasonals: Vec<f64> = Vec::with_capacity(values.len());
    let (mut level, mut slope, mut next) = (f64::NAN, 0.0, f64::NAN);
    for (index, actual) in values.iter().copied().enumerate() {
        if actual.is_nan() {
            // A gap ends all smoothing but the season's: the next value begins a new level.
            predictions.push(next);
            (level, slope, next) = (f64::NAN, 0.0, f64::NAN);
            seasonals.push(0.0);
            deviations.push(0.0);
            continue;
        }
        let prediction = if index == 0 { actual } else { next };
        let last_level = if level.is_nan() { actual } else { level };
        let past =
            |column: &[f64], at: usize| at.checked_sub(season).and_then(|at| column.get(at)).copied().unwrap_or(0.0);
        let (last_season, next_season) = (past(&seasonals, index), past(&seasonals, index + 1));
        let last_deviation = past(&deviations, index);
        level = ALPHA * (actual - last_season) + (1.0 - ALPHA) * (last_level + slope);
        slope = BETA * (level - last_level) + (1.0 - BETA) * slope;
        next = level + slope + next_season;
        let missed = (actual - if prediction.is_nan() { 0.0 } else { prediction }).abs();
        predictions.push(prediction);
        seasonals.push(GAMMA * (actual - level) + (1.0 - GAMMA) * last_season);
        deviations.push(GAMMA * missed + (1.0 - GAMMA) * last_deviation);
    }
    (predictions, deviations)
}

/// Each series with its lower and upper band.
fn bands(call: &Call<'_>) -> Result<Vec<(String, Series, Series)>, GraphiteError> {
    let delta = call.float(1)?;
    let band = |forecast: Forecast| {
        let Forecast { series, start_s, predictions, deviations } = forecast;
        let edge = |word: &str, sign: f64| {
            let values = predictions
                .iter()
                .zip(&deviations)
                .map(|(value, deviation)| value + sign * delta * deviation)
                .collect();
            let one = series.without_values().tagged("holtWintersForecast", 1).tagged("holtWintersDeviation", 1);
            let one = one.tagged("holtWintersConfidenceUpper", 1).tagged("holtWintersConfidenceLower", 1);
            let name = format!("holtWintersConfidence{word}({})", series.name);
            Series { start_s, path_expression: series.path_expression.clone(), ..one.derived(name, values) }
        };
        (series.name.clone(), edge("Lower", -1.0), edge("Upper", 1.0))
    };
    Ok(forecasts(call, 2, 3)?.into_iter().map(band).collect())
}

fn aberration(call: &mut Call<'_>) -> Outcome {
    let bands: std::collections::HashMap<String, (Series, Series)> =
        bands(call)?.into_iter().map(|(name, lower, upper)| (name, (lower, upper))).collect();
    let leave = |one: Series| {
        let edge = |band: Option<&Series>, index: usize| {
            band.and_then(|band| band.values.get(index)).copied().unwrap_or(f64::NAN)
        };
        let found = bands.get(&one.name);
        let values = one.values.iter().enumerate().map(|(index, actual)| {
            let (lower, upper) = (edge(found.map(|band| &band.0), index), edge(found.map(|band| &band.1), index));
            if *actual > upper {
                actual - upper
            } else if *actual < lower {
                actual - lower
            } else {
                0.0
            }
        });
        let values = values.collect();
        let name = format!("holtWintersAberration({})", one.name);
        one.tagged("holtWintersAberration", 1).derived(name, values)
    };
    Ok(call.series(0)?.into_iter().map(leave).collect::<Vec<_>>().into())
}
