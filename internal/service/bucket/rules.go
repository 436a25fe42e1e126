package bucket

import (
	"fmt"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

func checkRules(rules []Rule) error {
	seen := map[string]bool{}
	for i := range rules {
		r := &rules[i]
		at := fmt.Sprintf("spec.lifecycle[%d]", i)
		if r.ID == "" {
			r.ID = fmt.Sprintf("rule-%d", i+1)
		}
		malformed := func(format string, args ...any) error {
			return failed("InvalidArgument", fail.Field(at, format, args...))
		}
		switch {
		case seen[r.ID]:
			return malformed("two rules are called %q", r.ID)
		case r.Expire == 0 && r.ExpireAt.IsZero() && !r.ExpireMarkers && r.Old == 0 && r.KeepOld == 0 && r.Abort == 0 && len(r.Move)+len(r.MoveOld) == 0:
			return malformed("rule %s does nothing", r.ID)
		case r.Expire < 0 || r.Old < 0 || r.KeepOld < 0 || r.Abort < 0:
			return malformed("days must not be negative")
		case r.Expire > 0 && !r.ExpireAt.IsZero():
			return malformed("give days or a date, not both")
		case r.Abort > 0 && len(r.Tags) > 0:
			return malformed("uploads have no tags to choose by")
		}
		seen[r.ID] = true
	}
	return nil
}

// fits tells whether a rule is about a version.
func (r *Rule) fits(key string, v *record) bool {
	if r.Disabled || !strings.HasPrefix(key, r.Prefix) || r.Larger > 0 && v.Size <= r.Larger || r.Smaller > 0 && v.Size >= r.Smaller {
		return false
	}
	for k, want := range r.Tags {
		if have, ok := v.Tags[k]; !ok || have != want {
			return false
		}
	}
	return true
}

// due is when something of this age is due: at midnight behind the days, as S3 counts.
func due(from time.Time, days int) time.Time {
	return from.UTC().AddDate(0, 0, days+1).Truncate(24 * time.Hour)
}

// expiry is when a lifecycle rule deletes a current version, and which rule; zero: none does.
func (b *bucket) expiry(key string, v *record, latest bool) (at time.Time, rule string) {
	if !latest {
		return at, ""
	}
	for i := range b.Spec.Lifecycle {
		r := &b.Spec.Lifecycle[i]
		if !r.fits(key, v) {
			continue
		}
		when := r.ExpireAt
		if r.Expire > 0 {
			when = due(time.Unix(0, v.At), r.Expire)
		}
		if !when.IsZero() && (at.IsZero() || when.Before(at)) {
			at, rule = when, r.ID
		}
	}
	return at, rule
}
