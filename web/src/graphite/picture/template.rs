//! The templates that come with graphite-web's example of `graphTemplates.conf`, colours only.

use deployline_render::chart::color;

/// An RGB colour with the opacity that its name told.
pub type Color = ((u8, u8, u8), Option<f64>);

/// A template's colours; an empty text leaves the theme's.
struct Template {
    name: &'static str,
    background: &'static str,
    foreground: &'static str,
    major: &'static str,
    minor: &'static str,
    lines: &'static str,
}

const DEFAULT_LINES: &str = "blue,green,red,purple,brown,yellow,aqua,grey,magenta,pink,gold,rose";
const SOLARIZED: &str = "268bd2aa,859900aa,dc322faa,d33682aa,db4b16aa,b58900aa,2aa198aa,6c71c4aa";

/// A template of line colours alone, on graphite-web's default ground.
const fn ramp(name: &'static str, lines: &'static str) -> Template {
    Template { name, background: "", foreground: "", major: "", minor: "", lines }
}

const TEMPLATES: [Template; 17] = [
    Template {
        name: "solarized-light",
        background: "fdf6e3",
        foreground: "657b83",
        major: "073642",
        minor: "586e75",
        lines: SOLARIZED,
    },
    Template {
        name: "solarized-dark",
        background: "002b36",
        foreground: "839496",
        major: "fdf6e3",
        minor: "eee8d5",
        lines: SOLARIZED,
    },
    Template {
        name: "classic",
        background: "black",
        foreground: "white",
        major: "white",
        minor: "grey",
        lines: DEFAULT_LINES,
    },
    Template {
        name: "noc",
        background: "black",
        foreground: "white",
        major: "white",
        minor: "grey",
        lines: "blue,green,red,yellow,purple,brown,aqua,grey,magenta,pink,gold,rose",
    },
    // The example leaves its words black on black.
    Template {
        name: "summary",
        background: "black",
        foreground: "white",
        major: "",
        minor: "",
        lines: "6666ff,66ff66,ff6666",
    },
    Template {
        name: "alphas",
        background: "white",
        foreground: "black",
        major: "grey",
        minor: "rose",
        lines: "00ff00aa,ff000077,00337799",
    },
    Template {
        name: "grafana",
        background: "white",
        foreground: "black",
        major: "rose",
        minor: "grey",
        lines: "7eb26d,eab839,6ed0e0,ef843c,e24d42,1f78c1,ba43a9,705da0,508642,cca300,447ebc",
    },
    ramp("ocean1", "f7fcf0,e0f3db,ccebc5,a8ddb5,7bccc4,4eb3d3,2b8cbe,0868ac,084081"),
    ramp("ocean2", "084081,0868ac,2b8cbe,4eb3d3,7bccc4,a8ddb5,ccebc5,e0f3db,f7fcf0"),
    ramp("forest1", "f7fcf5,e5f5e0,c7e9c0,a1d99b,74c476,41ab5d,238b45,005a32"),
    ramp("forest2", "005a32,238b45,41ab5d,74c476,a1d99b,c7e9c0,e5f5e0,f7fcf5"),
    ramp("sunset1", "fff5eb,fee6ce,fdd0a2,fdae6b,fd8d3c,f16913,d94801,8c2d04"),
    ramp("sunset2", "8c2d04,d94801,f16913,fd8d3c,fdae6b,fdd0a2,fee6ce,fff5eb"),
    ramp("moonlight1", "fcfbfd,efedf5,dadaeb,bcbddc,9e9ac8,807dba,6a51a3,4a1486"),
    ramp("moonlight2", "4a1486,6a51a3,807dba,9e9ac8,bcbddc,dadaeb,efedf5,fcfbfd"),
    ramp("lava1", "fff5f0,fee0d2,fcbba1,fc9272,fb6a4a,ef3b2c,cb181d,99000d"),
    ramp("lava2", "99000d,cb181d,ef3b2c,fb6a4a,fc9272,fcbba1,fee0d2,fff5f0"),
];

/// The colours of a template, as Graphite's parameters name them: `bgcolor`, `fgcolor`, `majorGridLineColor`,
/// `minorGridLineColor`, `colorList`. Nothing for `default`, which is the theme, and for a name that is not known: Graphite
/// draws its default then.
pub fn template(name: &str) -> impl Fn(&str) -> Option<&'static str> {
    let found = TEMPLATES.iter().find(|template| template.name == name.trim());
    move |parameter| {
        let template = found?;
        let text = match parameter {
            "bgcolor" => template.background,
            "fgcolor" => template.foreground,
            "majorGridLineColor" => template.major,
            "minorGridLineColor" => template.minor,
            "colorList" => template.lines,
            _ => "",
        };
        Some(text).filter(|text| !text.is_empty())
    }
}

/// The colours of a list with commas between; what is no colour is left out.
pub fn colors(list: &str) -> Vec<Color> {
    /// More colours than lines in a picture are of no use.
    const MOST: usize = 64;
    list.split(',').filter_map(color).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_made_of_colours() {
        for one in &TEMPLATES {
            let of = template(one.name);
            let n_lines = of("colorList").unwrap().split(',').count();
            assert_eq!(colors(of("colorList").unwrap()).len(), n_lines, "{}", one.name);
            for parameter in ["bgcolor", "fgcolor", "majorGridLineColor", "minorGridLineColor"] {
                assert!(of(parameter).is_none_or(|text| color(text).is_some()), "{} {parameter}", one.name);
            }
        }
        assert_eq!((template("default")("bgcolor"), template("no such")("colorList")), (None, None));
    }
}
