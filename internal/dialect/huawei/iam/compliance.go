package iam

import (
	"fmt"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/iamv5"
	"github.com/awancloud/awan/internal/kernel/ident"
)

// compliance says the rules for passwords as a regular expression with look-ahead, as browsers understand it: of the
// four classes, every way to use fewer than are asked for is ruled out.
func compliance(r ident.PasswordRules) map[string]string {
	var b strings.Builder
	b.WriteByte('^')
	classes := []string{"a-z", "A-Z", "0-9"}
	for set := range 1 << 4 {
		if n := bits(set); n != int(r.Classes)-1 || n == 0 {
			continue
		}
		in := ""
		for i, c := range classes {
			if set&(1<<i) != 0 {
				in += c
			}
		}
		if set&(1<<3) == 0 {
			b.WriteString("(?![" + in + "]*$)")
			continue
		}
		out := "" // the fourth class is what the others are not
		for i, c := range classes {
			if set&(1<<i) == 0 {
				out += c
			}
		}
		if out == "" {
			continue
		}
		b.WriteString("(?![^" + out + "]*$)")
	}
	if r.MaxRepeat > 0 {
		fmt.Fprintf(&b, `(?!.*(.)\1{%d})`, r.MaxRepeat)
	}
	fmt.Fprintf(&b, ".{%d,%d}$", r.MinLength, iamv5.MaxPassword)
	return map[string]string{"password_regex": b.String(), "password_regex_description": iamv5.Requirements(r)}
}

func bits(n int) (ones int) {
	for ; n > 0; n &= n - 1 {
		ones++
	}
	return ones
}
