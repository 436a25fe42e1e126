package bucket

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Meaning is a statement of a bucket's policy in words.
type Meaning struct {
	Sid    string
	Allow  bool
	Public bool   // it lets everybody in, with or without a log-in
	Who    string // "everybody", "user ann of domain acme"
	What   string // "read objects, list names"
	On     string // "objects under photos/"
	When   string // conditions; "" when there are none
}

// Explain reads a bucket's policy as it would be stored and says what each statement means. Its errors name the place:
// Statement[0].Principal.
func Explain(name, text string) ([]Meaning, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var doc struct {
		Version, ID string
		Statement   json.RawMessage
	}
	if err := strictly([]byte(text), &doc); err != nil {
		return nil, err
	}
	raw := bytes.TrimSpace(doc.Statement)
	list := []json.RawMessage{raw}
	single := len(raw) > 0 && raw[0] == '{'
	if !single {
		if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
			return nil, fail.Field("Statement", "holds no statements").Then("write a list of statements")
		}
	}
	var out []Meaning
	for i, raw := range list {
		at := fmt.Sprintf("Statement[%d]", i)
		if single {
			at = "Statement"
		}
		var w written
		err := strictly(raw, &w)
		var st statement
		if err == nil {
			st, err = w.compile(name)
		}
		if err != nil {
			e := *fail.From(err)
			switch rest, ok := strings.CutPrefix(e.Field, "Statement[0]"); {
			case ok:
				e.Field = at + rest
			case e.Field == "":
				e.Field = at
			default:
				e.Field = at + "." + e.Field
			}
			return nil, &e
		}
		out = append(out, Meaning{Sid: w.Sid, Allow: st.allow, Public: st.public, Who: st.whoInWords(), What: w.whatInWords(), On: w.onInWords(name), When: w.whenInWords()})
	}
	return out, nil
}

func (st *statement) whoInWords() string {
	var parts []string
	for _, w := range st.who {
		domain, rest, narrow := strings.Cut(w, ":")
		what, who, _ := strings.Cut(rest, "/")
		switch {
		case w == "*":
			parts = append(parts, "everybody")
		case !narrow:
			parts = append(parts, "domain "+domain)
		case who == "*":
			parts = append(parts, "every "+what+" of domain "+domain)
		default:
			parts = append(parts, what+" "+who+" of domain "+domain)
		}
	}
	text := strings.Join(parts, ", ")
	if st.not {
		return "everybody but " + text
	}
	return text
}

// actionWords are what people call the actions that policies name most.
var actionWords = map[string]string{
	"*": "do everything", "getobject": "read objects", "getobjectversion": "read old versions", "putobject": "upload objects", "deleteobject": "delete objects",
	"deleteobjectversion": "delete versions for good", "listbucket": "list names", "listbucketversions": "list versions", "headbucket": "see that the bucket is there",
	"getbucketlocation": "see where the bucket is", "getobjectacl": "read objects' ACLs", "putobjectacl": "change objects' ACLs", "getbucketpolicy": "read this policy",
	"putbucketpolicy": "change this policy", "deletebucketpolicy": "remove this policy", "deletebucket": "delete the bucket", "abortmultipartupload": "abort uploads",
	"listmultipartuploadparts": "list parts of uploads", "listbucketmultipartuploads": "list uploads", "getobjecttagging": "read tags", "putobjecttagging": "change tags",
	"putobjectretention": "lock objects", "putobjectlegalhold": "set legal holds", "bypassgovernanceretention": "lift governance locks", "restoreobject": "restore cold objects",
}

func (w *written) whatInWords() string {
	list, not := w.Action, ""
	if w.NotAction != nil {
		list, not = w.NotAction, "everything but: "
	}
	var parts []string
	for _, a := range list {
		name := a[strings.LastIndexByte(a, ':')+1:]
		if word := actionWords[strings.ToLower(name)]; word != "" {
			name = word
		}
		if !slices.Contains(parts, name) {
			parts = append(parts, name)
		}
	}
	return not + strings.Join(parts, ", ")
}

func (w *written) onInWords(bucket string) string {
	list, not := w.Resource, ""
	if w.NotResource != nil {
		list, not = w.NotResource, "everything but "
	}
	var parts []string
	for _, r := range list {
		name := r[strings.LastIndexByte(r, ':')+1:]
		first, key, isObject := strings.Cut(name, "/")
		switch {
		case name == "*" || first == bucket+"*" && !isObject:
			parts = append(parts, "the bucket and its objects")
		case !isObject:
			parts = append(parts, "the bucket itself")
		case key == "*":
			parts = append(parts, "all objects")
		case strings.HasSuffix(key, "*") && strings.Count(key, "*") == 1:
			parts = append(parts, "objects whose names begin with "+strings.TrimSuffix(key, "*"))
		case strings.Contains(key, "*"):
			parts = append(parts, "objects named like "+key)
		default:
			parts = append(parts, "object "+key)
		}
	}
	return not + strings.Join(parts, ", ")
}

func (w *written) whenInWords() string {
	var parts []string
	for _, op := range slices.Sorted(maps.Keys(w.Condition)) {
		for _, key := range slices.Sorted(maps.Keys(w.Condition[op])) {
			parts = append(parts, key+" "+op+" "+strings.Join(w.Condition[op][key], " or "))
		}
	}
	return strings.Join(parts, ", and ")
}
