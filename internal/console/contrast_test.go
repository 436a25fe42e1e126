package console_test

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"testing"
)

// Text on its ground has at least 4.5 to 1, the edges of controls and the bars 3 to 1 (WCAG 2.2, AA), in both themes.
func TestContrast(t *testing.T) {
	css, err := os.ReadFile("assets/app.css")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile(`(?s)(:root|\[data-theme="dark"\]|\[data-theme="auto"\]) \{(.*?)\}`).FindAllStringSubmatch(string(css), -1)
	if len(blocks) != 3 {
		t.Fatalf("%d themes", len(blocks))
	}
	for _, b := range blocks {
		tokens := map[string]string{}
		for _, m := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6})`).FindAllStringSubmatch(b[2], -1) {
			tokens[m[1]] = m[2]
		}
		least := 21.0
		check := func(fore, back string, want float64) {
			r := ratio(t, tokens[fore], tokens[back])
			if want == 4.5 {
				least = min(least, r)
			}
			if r < want {
				t.Errorf("%s: %s on %s is %.2f, less than %.1f", b[1], fore, back, r, want)
			}
		}
		for _, back := range []string{"bg", "surface", "sunken"} {
			for _, fore := range []string{"text", "quiet", "accent", "bad", "accent-strong"} {
				check(fore, back, 4.5)
			}
			check("control", back, 3)
		}
		for _, tone := range []string{"good", "bad", "warn", "busy"} {
			check(tone, tone+"-soft", 4.5)
			check(tone, "surface", 4.5)
		}
		check("text", "accent-soft", 4.5)
		check("accent-strong", "accent-soft", 4.5)
		check("on-accent", "accent", 4.5)
		check("on-accent", "accent-strong", 4.5)
		check("accent", "line", 3)
		t.Logf("%s: the least contrast of text is %.2f", b[1], least)
	}
}

func ratio(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, hex string) float64 {
	n, err := strconv.ParseUint(fmt.Sprintf("%.6s", hex[min(1, len(hex)):]), 16, 32)
	if err != nil {
		t.Fatalf("colour %q: %v", hex, err)
	}
	part := func(v uint64) float64 {
		c := float64(v&255) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(n>>16) + 0.7152*part(n>>8) + 0.0722*part(n)
}
