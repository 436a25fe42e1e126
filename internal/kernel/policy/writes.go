package policy

import "strings"

// reading are the verbs that change nothing, and the beginnings of such verbs.
var reading = []string{"get", "list", "show", "watch", "logs", "events", "head", "count", "describe", "query", "search", "simulate", "explain", "unused"}

// Writes tells whether a document allows anything that may change something. It goes by the verbs' names, and takes
// what it does not know for writing.
func (d *Document) Writes() bool {
	for _, s := range d.Statements {
		if s.Effect != Allow {
			continue
		}
		if s.NotAction != nil {
			return true
		}
		for _, a := range s.Action {
			if !onlyReads(a) {
				return true
			}
		}
	}
	return false
}

func onlyReads(action string) bool {
	i := strings.LastIndexByte(action, ':')
	verb := strings.ToLower(action[i+1:])
	for _, r := range reading {
		if strings.HasPrefix(verb, r) {
			return true
		}
	}
	return false
}

// MayEver tells whether a statement allows an action on any resource under any condition, and none denies it on all.
func MayEver(action string, docs []Attached) bool {
	action = strings.ToLower(action)
	allowed := false
	for _, d := range docs {
		if d.Doc == nil {
			continue
		}
		for i := range d.Doc.Statements {
			s := &d.Doc.Statements[i]
			if !s.speaksOfAction([]string{action}) {
				continue
			}
			if s.Effect == Deny && len(s.resources) == 0 && len(s.Condition) == 0 {
				return false
			}
			allowed = allowed || s.Effect == Allow
		}
	}
	return allowed
}
