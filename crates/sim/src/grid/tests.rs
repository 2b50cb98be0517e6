//! Tests of grids: what a text means, that indices are stable, and what is refused.

use super::*;
use crate::expr::Type;

fn axis(name: &str, text: &str) -> Axis {
    let target = if RULES.contains(&name) { Target::Rule } else { Target::Param };
    Axis { name: name.to_owned(), target, values: values(text).unwrap() }
}

fn base() -> Base {
    Base { params: Params::default(), rules: Rules::default(), maker_follows_fee: true }
}

fn grid(axes: &[(&str, &str)], rule: &str) -> Result<Grid, GridError> {
    let axes: Vec<Axis> = axes.iter().map(|(name, text)| axis(name, text)).collect();
    let names: Vec<&str> = axes.iter().map(|a| a.name.as_str()).collect();
    let rule = (!rule.is_empty()).then(|| Expr::parse(rule, Type::Rule, &names).unwrap());
    Grid::new(axes.clone(), base(), rule.as_slice())
}

fn text(of: &str) -> String {
    let found: Vec<String> = values(of).unwrap().iter().map(Decimal::to_string).collect();
    found.join(" ")
}

#[test]
fn values_are_read_as_a_person_writes_them() {
    assert_eq!(text("5..20:5"), "5 10 15 20", "both ends");
    assert_eq!(text("5..19:5"), "5 10 15", "an end off the step");
    assert_eq!(text("3..6"), "3 4 5 6");
    assert_eq!(text("0.5..1:0.25, 2,7..9"), "0.5 0.75 1 2 7 8 9");
    assert_eq!(text("-2..2:2"), "-2 0 2");
    assert_eq!(text("0.001..1:log4"), "0.001 0.01 0.1 1");
    assert_eq!(text("1..100:log3"), "1 10 100");
    assert_eq!(text("7"), "7");
}

#[test]
fn texts_that_mean_no_values_are_refused_by_kind() {
    let error = |text: &str| values(text).unwrap_err().to_string();
    assert_eq!(error("5..100:0"), "the range `5..100:0` never ends: its step must be above 0");
    assert!(error("5..100:-5").contains("never ends"));
    assert!(error("5..").contains("never ends"));
    assert_eq!(error("9..5"), "the range `9..5` is empty: it ends before it begins");
    assert_eq!(error("1,2,1"), "the value 1 stands twice");
    assert!(error("0..1:0.000001").contains("more values than the limit of 100000"));
    assert!(error("").contains("a value is missing"));
    assert!(error("a").contains("no decimal number"));
    assert!(error("0.5..1").contains("needs a step"));
    assert!(error("0..1:log3").contains("above 0"));
    assert!(error("1000000000000").contains("below 10^12"));
}

#[test]
fn a_point_is_its_index_and_back() {
    let grid = grid(&[("a", "1..3"), ("b", "10,20"), ("c", "0..4")], "").unwrap();
    assert_eq!(grid.n_points(), 30);
    for idx in 0..30 {
        assert_eq!(grid.index(&grid.digits(idx)), idx);
    }
    let told = |idx| grid.variant(idx).params.to_string();
    assert_eq!(told(0), "a=1 b=10 c=0");
    assert_eq!(told(1), "a=1 b=10 c=1");
    assert_eq!(told(29), "a=3 b=20 c=4");
}

#[test]
fn the_case_of_355_variants_has_355() {
    let grid = grid(&[("fast", "5..100:5"), ("slow", "20..400:20")], "fast < slow").unwrap();
    assert_eq!((grid.n_points(), grid.n_allowed()), (400, 355));
    let space = Space::new(grid, 1, &Search::Grid, 1_000).unwrap();
    assert_eq!(space.n_variants(), 355);
    assert_eq!(space.indices(0, 400).count(), 355);
    assert!(!space.has(60), "fast 20, slow 20");
}

#[test]
fn blocks_hold_every_variant_once_and_stay_on_one_series() {
    let grid = grid(&[("fast", "1..9"), ("slow", "1..9"), ("x", "1,2")], "fast < slow").unwrap();
    let space = Space::new(grid, 3, &Search::Grid, 1_000).unwrap();
    assert_eq!(space.n_variants(), 3 * 36 * 2);
    for size in [1, 7, 72, 1_000] {
        let blocks = space.blocks(size);
        let mut all = Vec::new();
        for block in &blocks {
            let found: Vec<u64> = space.indices(block.first, block.end).collect();
            assert_eq!(found.len(), block.n_variants);
            assert!(found.iter().all(|&idx| space.place(idx).0 == block.series));
            assert!(block.n_variants <= size);
            all.extend(found);
        }
        assert_eq!(all, space.indices(0, u64::MAX).collect::<Vec<_>>(), "size {size}");
    }
}

#[test]
fn samples_are_distinct_allowed_and_the_same_for_a_seed() {
    let axes = [("fast", "1..50"), ("slow", "1..50"), ("x", "1..4")];
    for make in
        [|seed| Search::Random { trials: 300, seed }, |seed| Search::Sobol { trials: 300, seed }]
    {
        let chosen = |seed| -> Vec<u64> {
            let grid = grid(&axes, "fast < slow").unwrap();
            let space = Space::new(grid, 2, &make(seed), 1_000).unwrap();
            assert_eq!(space.n_variants(), 300);
            space.indices(0, u64::MAX).collect()
        };
        let found = chosen(1);
        assert!(found.is_sorted() && found.windows(2).all(|w| w[0] < w[1]));
        let whole = grid(&axes, "fast < slow").unwrap();
        assert!(found.iter().all(|&idx| whole.allows(idx % whole.n_points())));
        assert_eq!(found, chosen(1));
        assert_ne!(found, chosen(2));
        let upper = found.iter().filter(|&&idx| idx >= whole.n_points()).count();
        assert!((100..200).contains(&upper), "{upper} of 300 on the second series");
    }
}

#[test]
fn as_many_trials_as_there_are_points_is_the_grid() {
    let one = grid(&[("a", "1..9")], "a > 3").unwrap();
    let space = Space::new(one, 1, &Search::Random { trials: 99, seed: 1 }, 1_000).unwrap();
    assert_eq!(space.n_variants(), 6);
    let one = grid(&[("a", "1..100"), ("b", "1..100")], "a == 1 and b <= 50").unwrap();
    let space = Space::new(one, 1, &Search::Random { trials: 49, seed: 1 }, 1_000).unwrap();
    assert_eq!(space.n_variants(), 49);
}

#[test]
fn costs_are_dimensions_and_the_makers_fee_follows() {
    let fees = grid(&[("fee_bps", "0,5"), ("n", "1,2")], "").unwrap();
    let variant = fees.variant(2);
    assert_eq!(variant.rules.fee_bps, Decimal::from(5));
    assert_eq!(variant.rules.maker_fee_bps, Decimal::from(5));
    assert_eq!(variant.params.to_string(), "n=1");
    let error = grid(&[("fee_bps", "0,20000")], "").unwrap_err().to_string();
    assert_eq!(error, "fee_bps must be from 0 to below 10000 with at most 4 decimals, not 20000");
}

#[test]
fn neighbours_are_one_step_away_and_allowed() {
    let grid = grid(&[("fast", "1..3"), ("slow", "1..3")], "fast < slow").unwrap();
    let of = |digits: &[usize]| {
        let near = grid.neighbours(grid.index(digits));
        near.into_iter().map(|idx| grid.digits(idx)).collect::<Vec<_>>()
    };
    assert_eq!(of(&[0, 2]), [vec![1, 2], vec![0, 1]]);
    assert_eq!(of(&[0, 1]), [vec![0, 2]]);
}

#[test]
fn impossible_grids_are_refused_before_work() {
    let error = grid(&[("a", "1..9"), ("b", "1..9")], "a > b + 9").unwrap_err().to_string();
    assert_eq!(error, "none of 81 combinations meets `a > b + 9`");
    let big = grid(&[("a", "1..1000"), ("b", "1..1000")], "").unwrap();
    let error = Space::new(big, 2, &Search::Grid, 1_000_000).unwrap_err().to_string();
    assert_eq!(error, "2000000 variants are more than the limit of 1000000");
    let huge = grid(&[("a", "1..99999"), ("b", "1..99999")], "").unwrap();
    let some = Search::Random { trials: 10, seed: 1 };
    assert_eq!(Space::new(huge, 1, &some, 100).unwrap().n_variants(), 10);
    let wide = grid(&[("a", "1..99999"), ("b", "1..99999")], "a < b").unwrap_err().to_string();
    assert!(wide.contains("limit of 10000000"), "{wide}");
    assert!(matches!(grid(&[("a", "1"), ("a", "2")], ""), Err(GridError::Twice { .. })));
    let many = grid(&[("a", "1..99999"), ("b", "1..9")], "").unwrap();
    let trials = Search::Sobol { trials: 90_000, seed: 1 };
    let error = Space::new(many, 1, &trials, 1_000_000).unwrap_err().to_string();
    assert!(error.contains("trials are more than the limit of"), "{error}");
}
