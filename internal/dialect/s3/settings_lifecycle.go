package s3

import (
	"encoding/xml"
	"maps"
	"slices"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/bucket"
)

type lifecycleXML struct {
	XMLName xml.Name  `xml:"LifecycleConfiguration"`
	Xmlns   string    `xml:"xmlns,attr,omitempty"`
	Rules   []ruleXML `xml:"Rule"`
}

type ruleXML struct {
	ID         string          `xml:"ID,omitempty"`
	Prefix     *string         `xml:"Prefix"`
	Filter     *filterXML      `xml:"Filter"`
	Status     string          `xml:"Status"`
	Move       []transitionXML `xml:"Transition"`
	Expiration *expirationXML  `xml:"Expiration"`
	MoveOld    []transitionXML `xml:"NoncurrentVersionTransition"`
	ExpireOld  *oldXML         `xml:"NoncurrentVersionExpiration"`
	Abort      *abortXML       `xml:"AbortIncompleteMultipartUpload"`
}

type filterXML struct {
	Prefix  *string `xml:"Prefix"`
	Tag     *tagXML `xml:"Tag"`
	Larger  *int64  `xml:"ObjectSizeGreaterThan"`
	Smaller *int64  `xml:"ObjectSizeLessThan"`
	And     *andXML `xml:"And"`
}

type andXML struct {
	Prefix  *string  `xml:"Prefix"`
	Tags    []tagXML `xml:"Tag"`
	Larger  *int64   `xml:"ObjectSizeGreaterThan"`
	Smaller *int64   `xml:"ObjectSizeLessThan"`
}

type transitionXML struct {
	Date    string `xml:"Date,omitempty"`
	Days    *int   `xml:"Days"`
	OldDays *int   `xml:"NoncurrentDays"`
	Keep    int    `xml:"NewerNoncurrentVersions,omitempty"`
	Class   string `xml:"StorageClass"`
}

type expirationXML struct {
	Date    string `xml:"Date,omitempty"`
	Days    *int   `xml:"Days"`
	Markers bool   `xml:"ExpiredObjectDeleteMarker,omitempty"`
}

type oldXML struct {
	Days int `xml:"NoncurrentDays,omitempty"`
	Keep int `xml:"NewerNoncurrentVersions,omitempty"`
}

type abortXML struct {
	Days int `xml:"DaysAfterInitiation"`
}

func badRule(format string, args ...any) error {
	return refuse("InvalidArgument", fail.Invalid, format, args...)
}

func malformedXML(format string, args ...any) error {
	return refuse("MalformedXML", fail.Invalid, format, args...)
}

func writeLifecycle(r *request) (func(*bucket.Row) error, error) {
	var doc lifecycleXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	if len(doc.Rules) == 0 || len(doc.Rules) > 1000 {
		return nil, malformedXML("a lifecycle configuration has 1 to 1000 rules")
	}
	rules := make([]bucket.Rule, len(doc.Rules))
	ids := map[string]bool{}
	for i := range doc.Rules {
		rule, err := doc.Rules[i].parse()
		if err != nil {
			return nil, err
		}
		if ids[rule.ID] {
			return nil, badRule("rule ID must be unique; found the same ID %q for more than one rule", rule.ID)
		}
		ids[rule.ID] = true
		rules[i] = rule
		if len(rule.Move)+len(rule.MoveOld) > 0 { // said at once, not found out a year later
			r.w.Header().Set("X-Awan-Note", "storage classes differ in price and in restoring; the bytes stay on the same disks")
		}
	}
	return func(row *bucket.Row) error { row.Spec.Lifecycle = rules; return nil }, nil
}

func (x *ruleXML) parse() (bucket.Rule, error) {
	rule := bucket.Rule{ID: x.ID}
	if len(x.ID) > 255 {
		return rule, badRule("a rule's ID has at most 255 characters")
	}
	if rule.ID == "" {
		rule.ID = string(id.New())
	}
	switch x.Status {
	case "Enabled":
	case "Disabled":
		rule.Disabled = true
	default:
		return rule, malformedXML("a rule's Status is Enabled or Disabled")
	}
	if err := x.parseFilter(&rule); err != nil {
		return rule, err
	}
	return rule, x.parseActions(&rule)
}

func (x *ruleXML) parseFilter(rule *bucket.Rule) error {
	if x.Filter == nil {
		if x.Prefix == nil {
			return malformedXML("a rule has a Filter or a Prefix")
		}
		rule.Prefix = *x.Prefix
		return nil
	}
	if x.Prefix != nil && *x.Prefix != "" {
		return malformedXML("a rule has a Filter or a Prefix, not both")
	}
	f := x.Filter
	rule.Filter = "filter"
	given := 0
	if f.Prefix != nil {
		rule.Filter, rule.Prefix = "prefix", *f.Prefix
		given++
	}
	if f.Tag != nil {
		rule.Filter, rule.Tags = "tag", map[string]string{f.Tag.Key: f.Tag.Value}
		given++
	}
	if f.Larger != nil {
		rule.Filter, rule.Larger = "size-more", *f.Larger
		given++
	}
	if f.Smaller != nil {
		rule.Filter, rule.Smaller = "size-less", *f.Smaller
		given++
	}
	if f.And != nil {
		rule.Filter = "and"
		given++
		if f.And.Prefix != nil {
			rule.Prefix = *f.And.Prefix
		}
		if f.And.Larger != nil {
			rule.Larger = *f.And.Larger
		}
		if f.And.Smaller != nil {
			rule.Smaller = *f.And.Smaller
		}
		tags, err := (&taggingXML{Tags: f.And.Tags}).parse(100)
		if err != nil {
			return err
		}
		rule.Tags = tags
	}
	if given > 1 {
		return malformedXML("a Filter has one element; several go into And")
	}
	return nil
}

func (x *ruleXML) parseActions(rule *bucket.Rule) error {
	if e := x.Expiration; e != nil {
		given := 0
		if e.Days != nil {
			if given++; *e.Days <= 0 {
				return badRule("'Days' for Expiration action must be a positive integer")
			}
			rule.Expire = *e.Days
		}
		if e.Date != "" {
			given++
			t, err := midnight(e.Date)
			if err != nil {
				return err
			}
			rule.ExpireAt = t
		}
		if e.Markers {
			given++
			rule.ExpireMarkers = true
		}
		if given != 1 {
			return malformedXML("an Expiration has one of Days, Date and ExpiredObjectDeleteMarker")
		}
	}
	if e := x.ExpireOld; e != nil {
		if e.Days <= 0 {
			return badRule("'NoncurrentDays' for NoncurrentVersionExpiration action must be a positive integer")
		}
		rule.Old, rule.KeepOld = e.Days, e.Keep
	}
	if x.Abort != nil {
		if x.Abort.Days <= 0 {
			return badRule("'DaysAfterInitiation' for AbortIncompleteMultipartUpload action must be a positive integer")
		}
		rule.Abort = x.Abort.Days
	}
	var err error
	if rule.Move, err = transitions(x.Move); err != nil {
		return err
	}
	if rule.MoveOld, err = transitions(x.MoveOld); err != nil {
		return err
	}
	if x.Expiration == nil && x.ExpireOld == nil && x.Abort == nil && len(x.Move) == 0 && len(x.MoveOld) == 0 {
		return badRule("at least one action needs to be specified in a rule")
	}
	return nil
}

func midnight(s string) (time.Time, error) {
	t, err := parseStamp(s)
	if err != nil {
		return t, err
	}
	if !t.Equal(t.Truncate(24 * time.Hour)) {
		return t, badRule("'Date' must be at midnight GMT")
	}
	return t, nil
}

func transitions(list []transitionXML) ([]bucket.Transition, error) {
	var out []bucket.Transition
	for _, x := range list {
		class, err := classOf(x.Class)
		if err != nil || class == "" || class == bucket.Standard {
			return nil, malformedXML("the storage class %q cannot be moved to", x.Class)
		}
		t := bucket.Transition{Class: class, Keep: x.Keep}
		if x.OldDays != nil {
			x.Days = x.OldDays
		}
		switch {
		case (x.Days == nil) == (x.Date == ""):
			return nil, malformedXML("a transition has Days or Date, not both")
		case x.Days != nil:
			if t.Days = *x.Days; t.Days < 0 {
				return nil, badRule("'Days' for a transition must not be negative")
			}
		default:
			if t.At, err = midnight(x.Date); err != nil {
				return nil, err
			}
		}
		out = append(out, t)
	}
	return out, nil
}

func readLifecycle(r *request, row *bucket.Row) (any, error) {
	if len(row.Spec.Lifecycle) == 0 {
		return nil, missing("NoSuchLifecycleConfiguration", "the lifecycle configuration does not exist")
	}
	out := lifecycleXML{Xmlns: r.space()}
	for i := range row.Spec.Lifecycle {
		out.Rules = append(out.Rules, r.ruleXML(&row.Spec.Lifecycle[i]))
	}
	return out, nil
}

func (r *request) ruleXML(rule *bucket.Rule) ruleXML {
	x := ruleXML{ID: rule.ID, Status: "Enabled"}
	if rule.Disabled {
		x.Status = "Disabled"
	}
	x.fromFilter(rule)
	switch {
	case rule.Expire > 0:
		x.Expiration = &expirationXML{Days: &rule.Expire}
	case !rule.ExpireAt.IsZero():
		x.Expiration = &expirationXML{Date: stamp(rule.ExpireAt)}
	case rule.ExpireMarkers:
		x.Expiration = &expirationXML{Markers: true}
	}
	if rule.Old > 0 || rule.KeepOld > 0 {
		x.ExpireOld = &oldXML{rule.Old, rule.KeepOld}
	}
	if rule.Abort > 0 {
		x.Abort = &abortXML{rule.Abort}
	}
	for i := range rule.Move {
		t := &rule.Move[i]
		m := transitionXML{Class: r.className(t.Class)}
		if t.At.IsZero() {
			m.Days = &t.Days
		} else {
			m.Date = stamp(t.At)
		}
		x.Move = append(x.Move, m)
	}
	for i := range rule.MoveOld {
		t := &rule.MoveOld[i]
		x.MoveOld = append(x.MoveOld, transitionXML{OldDays: &t.Days, Keep: t.Keep, Class: r.className(t.Class)})
	}
	return x
}

// fromFilter writes the filter as its client wrote it.
func (x *ruleXML) fromFilter(rule *bucket.Rule) {
	size := func(n int64) *int64 {
		if n == 0 {
			return nil
		}
		return &n
	}
	var tags []tagXML
	for _, k := range slices.Sorted(maps.Keys(rule.Tags)) {
		tags = append(tags, tagXML{k, rule.Tags[k]})
	}
	switch rule.Filter {
	case "":
		x.Prefix = &rule.Prefix
		if len(tags) > 0 || rule.Larger > 0 || rule.Smaller > 0 { // written in the native API
			x.Prefix, x.Filter = nil, &filterXML{And: &andXML{&rule.Prefix, tags, size(rule.Larger), size(rule.Smaller)}}
		}
	case "filter":
		x.Filter = &filterXML{}
	case "prefix":
		x.Filter = &filterXML{Prefix: &rule.Prefix}
	case "tag":
		x.Filter = &filterXML{Tag: &tags[0]}
	case "size-more":
		x.Filter = &filterXML{Larger: &rule.Larger}
	case "size-less":
		x.Filter = &filterXML{Smaller: &rule.Smaller}
	default:
		and := &andXML{nil, tags, size(rule.Larger), size(rule.Smaller)}
		if rule.Prefix != "" {
			and.Prefix = &rule.Prefix
		}
		x.Filter = &filterXML{And: and}
	}
}
