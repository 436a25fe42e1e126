package bucket

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/ident"
	"github.com/awancloud/awan/internal/kernel/policy"
)

// compiled is a bucket's policy: statements in the cloud's own language, each with whom it speaks of.
type compiled struct {
	text       string
	statements []statement
}

type statement struct {
	who    []string // as whom gives them; "*" is everybody
	not    bool     // everybody but who
	allow  bool
	public bool // it lets everybody in, whatever they bring
	att    policy.Attached
}

// policyCache keeps compiled policies by bucket, right while their text is the bucket's.
type policyCache struct{ m sync.Map }

func (pc *policyCache) of(b *bucket) *compiled {
	if b.Spec.Policy == "" {
		return nil
	}
	if c, ok := pc.m.Load(b.ID); ok && c.(*compiled).text == b.Spec.Policy {
		return c.(*compiled)
	}
	c, err := compile(b.Name, b.Spec.Policy)
	if err != nil { // it was checked when it was stored; what cannot be read denies
		c = &compiled{text: b.Spec.Policy, statements: []statement{{who: []string{"*"}, att: denyAll}}}
	}
	pc.m.Store(b.ID, c)
	return c
}

var denyAll = func() policy.Attached {
	doc, err := policy.Parse([]byte(`{"Version":"1.1","Statement":[{"Effect":"Deny","Action":["*"]}]}`))
	if err != nil {
		panic(err)
	}
	return policy.Attached{Name: "of the bucket", Source: "unreadable", Doc: doc}
}()

// of gives the statements that speak of p.
func (c *compiled) of(b *bucket, p ident.Principal) (out []policy.Attached) {
	if c == nil {
		return nil
	}
	for _, st := range c.statements {
		if !st.speaksOf(b, p) || st.public && !b.Spec.PublicAccess.HonorPolicy && p.Domain != b.Domain {
			continue
		}
		out = append(out, st.att)
	}
	return out
}

// speaksOf tells whether p is meant. To allow the bucket's own domain as a whole gives its users nothing: their own
// policies say what each may do.
func (st *statement) speaksOf(b *bucket, p ident.Principal) bool {
	whole := func(w string) bool {
		return st.allow && !st.not && p.Domain == b.Domain && w != "*" && !strings.Contains(w, ":")
	}
	return slices.ContainsFunc(st.who, func(w string) bool { return w == "*" || is(w, p) && !whole(w) }) != st.not
}

// is tells whether w, "DOMAIN", "DOMAIN:user/USER" or "DOMAIN:agency/AGENCY" with ids or names, is p.
func is(w string, p ident.Principal) bool {
	if p.Nobody() {
		return false
	}
	domain, rest, narrow := strings.Cut(w, ":")
	if domain != string(p.Domain) && domain != p.DomainName {
		return false
	}
	what, name, _ := strings.Cut(rest, "/")
	switch {
	case !narrow:
		return true
	case what == "user":
		return p.Agency == "" && (name == "*" || name == string(p.User) || name == p.UserName)
	case what == "agency":
		return p.Agency != "" && (name == "*" || name == string(p.User) || name == p.UserName)
	}
	return false
}

// public tells whether a bucket's policy or ACL lets everybody in.
func (s *Service) public(row *Row) bool {
	if isPublic(row.Spec.ACL.Grants) && row.Spec.PublicAccess.HonorACLs && row.Spec.Ownership != "enforced" {
		return true
	}
	b := &bucket{Row: row}
	c := s.policies.of(b)
	return c != nil && row.Spec.PublicAccess.HonorPolicy && slices.ContainsFunc(c.statements, func(st statement) bool { return st.public })
}

func checkPolicy(row *Row) error {
	if row.Spec.Policy == "" {
		return nil
	}
	c, err := compile(row.Name, row.Spec.Policy)
	if err != nil {
		return failed("MalformedPolicy", fail.Wrap(err, fail.Invalid, "spec.policy"))
	}
	if !row.Spec.PublicAccess.AllowPolicy && slices.ContainsFunc(c.statements, func(st statement) bool { return st.public }) {
		return failed("AccessDenied", fail.New(fail.Denied, "this policy makes bucket %s public, which its public access block does not allow", row.Name).
			Then("change the public access block first"))
	}
	return nil
}

// written is a statement as S3 and OBS write it.
type written struct {
	Sid                     string
	Effect                  string
	Principal, NotPrincipal json.RawMessage
	Action, NotAction       words
	Resource, NotResource   words
	Condition               map[string]map[string]words
}

// words is one string or a list of them.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var list []any
		if err := json.Unmarshal(b, &list); err != nil {
			return err
		}
		for _, v := range list {
			*w = append(*w, fmt.Sprint(v))
		}
		return nil
	}
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*w = words{fmt.Sprint(v)}
	return nil
}

// compile reads a policy of S3's or OBS's kind. What it does not understand it refuses.
func compile(bucket, text string) (*compiled, error) {
	var doc struct {
		Version, ID string
		Statement   json.RawMessage
	}
	if err := strictly([]byte(text), &doc); err != nil {
		return nil, err
	}
	var list []written
	if raw := bytes.TrimSpace(doc.Statement); len(raw) > 0 && raw[0] == '{' {
		list = make([]written, 1)
		if err := strictly(raw, &list[0]); err != nil {
			return nil, err
		}
	} else if err := strictly(raw, &list); err != nil || len(list) == 0 {
		return nil, fail.Field("Statement", "holds no statements")
	}
	out := &compiled{text: text}
	for i, w := range list {
		st, err := w.compile(bucket)
		if err != nil {
			return nil, fail.Wrap(err, fail.Invalid, "Statement[%d]", i)
		}
		out.statements = append(out.statements, st)
	}
	return out, nil
}

func strictly(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fail.New(fail.Invalid, "this is no policy document: %s", err)
	}
	return nil
}

func (w *written) compile(bucket string) (st statement, err error) {
	principal := w.Principal
	if w.NotPrincipal != nil {
		principal, st.not = w.NotPrincipal, true
	}
	if st.not && w.Effect == "Allow" {
		return st, fail.Field("NotPrincipal", "cannot be allowed something: that would let in everybody but a few, strangers included").Then("name with Principal who may")
	}
	if st.who, err = whom(principal); err != nil {
		return st, err
	}
	body := map[string]any{"Effect": w.Effect}
	if sid := sidOf(w.Sid); sid != "" {
		body["Sid"] = sid
	}
	for key, list := range map[string]words{"Action": w.Action, "NotAction": w.NotAction} {
		if list != nil {
			body[key] = each(list, action)
		}
	}
	for key, list := range map[string]words{"Resource": w.Resource, "NotResource": w.NotResource} {
		if list == nil {
			continue
		}
		names := make([]string, 0, len(list))
		for _, r := range list {
			name, err := resource(bucket, r)
			if err != nil {
				return st, err
			}
			names = append(names, name)
		}
		body[key] = names
	}
	if w.Resource == nil && w.NotResource == nil {
		return st, fail.Field("Resource", "is missing").Then("write the bucket's name, and NAME/* for its objects")
	}
	if len(w.Condition) > 0 {
		body["Condition"] = conditions(w.Condition)
	}
	raw, err := json.Marshal(map[string]any{"Version": "1.1", "Statement": []any{body}})
	if err != nil {
		return st, err
	}
	parsed, err := policy.Parse(raw)
	if err != nil {
		return st, err
	}
	st.att = policy.Attached{Name: "of bucket " + bucket, Source: "its policy", Doc: parsed}
	st.allow = w.Effect == "Allow"
	st.public = w.Effect == "Allow" && !st.not && slices.Contains(st.who, "*") && !w.narrow()
	return st, nil
}

// narrow tells whether a condition limits who may come, so that "*" is not everybody.
func (w *written) narrow() bool {
	for op, keys := range w.Condition {
		if strings.Contains(op, "Not") || strings.HasSuffix(op, "IfExists") {
			continue
		}
		for key, values := range keys {
			switch strings.ToLower(strings.TrimPrefix(factKey(conditionKey(key)), "g:")) {
			case "sourceip", "vpcsourceip":
				if !slices.Contains(values, "0.0.0.0/0") && !slices.Contains(values, "::/0") {
					return true
				}
			case "principalaccount", "domainid", "domainname", "userid", "username", "principalid", "sourcevpc", "sourcevpce", "sourceaccount", "principalorgid":
				if !slices.Contains(values, "*") {
					return true
				}
			}
		}
	}
	return false
}

// whom reads a Principal: "*", {"AWS": …} of S3, {"ID": …} of OBS.
func whom(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 {
		return nil, fail.Field("Principal", "is missing").Then(`write {"AWS": "*"}, {"AWS": "arn:aws:iam::DOMAIN:user/NAME"} or {"ID": "domain/DOMAIN:user/USER"}`)
	}
	if raw[0] == '"' {
		if string(raw) != `"*"` {
			return nil, fail.Field("Principal", "%s is not known", raw).Then(`write "*" or {"AWS": …}`)
		}
		return []string{"*"}, nil
	}
	var byKind map[string]words
	if err := json.Unmarshal(raw, &byKind); err != nil {
		return nil, fail.Field("Principal", "cannot be read: %s", err)
	}
	var out []string
	for kind, list := range byKind {
		for _, v := range list {
			w := v
			switch {
			case kind == "CanonicalUser", v == "*":
			case kind == "AWS" && strings.HasPrefix(v, "arn:"):
				parts := strings.SplitN(v, ":", 6)
				if len(parts) != 6 || parts[2] != "iam" && parts[2] != "sts" {
					return nil, fail.Field("Principal", "%q is not an ARN of a user or an account", v)
				}
				w = parts[4]
				if parts[5] != "root" {
					w += ":" + strings.Replace(parts[5], "role/", "agency/", 1)
				}
			case kind == "AWS":
			case kind == "ID":
				w = strings.TrimPrefix(v, "domain/")
			default:
				return nil, fail.Field("Principal", "%s is not offered here", kind).Then("use AWS, ID or CanonicalUser")
			}
			out = append(out, w)
		}
	}
	return out, nil
}

// action turns s3:GetObject, and OBS's bare GetObject, into a pattern for the names that requests carry.
func action(a string) string {
	if a == "*" {
		return a
	}
	service, rest, ok := strings.Cut(a, ":")
	switch {
	case !ok:
		return "obs:*:" + a
	case service == "s3" && rest == "*":
		return "obs:*"
	case service == "s3":
		return "obs:*:" + rest
	}
	return a
}

// resource turns arn:aws:s3:::bucket/key, or OBS's bucket/key, into the name that policies match.
func resource(bucket, r string) (string, error) {
	name := strings.TrimPrefix(strings.TrimPrefix(r, "arn:aws:s3:::"), "arn:aws:s3:::")
	if i := strings.LastIndex(name, ":object:"); strings.HasPrefix(name, "obs:") && i >= 0 {
		name = name[i+len(":object:"):]
	} else if i := strings.LastIndex(name, ":bucket:"); strings.HasPrefix(name, "obs:") && i >= 0 {
		name = name[i+len(":bucket:"):]
	}
	if name == "*" {
		return "*", nil
	}
	first, _, isObject := strings.Cut(name, "/")
	if first != bucket && first != "*" && first != bucket+"*" {
		return "", fail.Field("Resource", "%q is not this bucket or in it", r).Then("write %s or %s/*", bucket, bucket)
	}
	if isObject {
		return "obs:*:*:object:" + name, nil
	}
	if first == bucket+"*" {
		return "obs:*:*:*:" + name, nil
	}
	return "obs:*:*:bucket:" + name, nil
}

func conditions(in map[string]map[string]words) map[string]map[string]words {
	out := map[string]map[string]words{}
	for op, keys := range in {
		op = strings.Replace(op, "Arn", "String", 1)
		if out[op] == nil {
			out[op] = map[string]words{}
		}
		for key, values := range keys {
			key = factKey(conditionKey(key))
			if strings.EqualFold(key, "obs:x-obs-copy-source") {
				values = each(values, func(v string) string { return strings.TrimPrefix(v, "/") })
			}
			out[op][key] = values
		}
	}
	return out
}

// sidOf writes a statement's name in the letters that ours have: S3's may hold blanks too.
func sidOf(sid string) string {
	b := []byte(sid)
	for i, c := range b {
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '_' {
			b[i] = '-'
		}
	}
	return string(b[:min(len(b), 64)])
}

// conditionKey gives aws:SourceIp and s3:x-amz-acl the names that facts have.
func conditionKey(key string) string {
	service, name, ok := strings.Cut(key, ":")
	if !ok {
		name = key
	}
	switch strings.ToLower(service) {
	case "aws":
		if low := strings.ToLower(name); low == "username" || low == "userid" {
			return "g:User" + name[4:]
		}
		return "g:" + name
	case "s3", "obs":
		return "obs:" + strings.Replace(name, "x-amz-", "x-obs-", 1)
	}
	return key
}

func each(list []string, f func(string) string) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = f(v)
	}
	return out
}
