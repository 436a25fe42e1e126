package sign

import (
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// Form is what a browser's upload form was signed with: its fields, names in lower case.
type Form map[string]string

// Claim reads a form's signature; nil where it has none.
func (f Form) Claim() (*Claim, error) {
	c := &Claim{Policy: f["policy"], Token: f["x-amz-security-token"]}
	if c.Token == "" {
		c.Token = f["x-obs-security-token"]
	}
	switch {
	case f["x-amz-signature"] != "" || f["x-amz-credential"] != "":
		if f["x-amz-algorithm"] != string(V4) {
			return nil, Refuse("InvalidArgument", fail.Invalid, "the form's x-amz-algorithm must be AWS4-HMAC-SHA256")
		}
		c.Scheme, c.Signature = V4, f["x-amz-signature"]
		if why := c.setCredential(f["x-amz-credential"]); why != "" {
			return nil, Refuse("InvalidArgument", fail.Invalid, "the form's x-amz-credential: %s", why)
		}
	case f["awsaccesskeyid"] != "":
		c.Scheme, c.Access, c.Signature = V2, f["awsaccesskeyid"], f["signature"]
	case f["accesskeyid"] != "":
		c.Scheme, c.Access, c.Signature = OBS, f["accesskeyid"], f["signature"]
	default:
		return nil, nil
	}
	if c.Policy == "" {
		return nil, Refuse("InvalidArgument", fail.Invalid, "a signed form needs the field policy")
	}
	if c.Signature == "" {
		return nil, Refuse("InvalidArgument", fail.Invalid, "a signed form needs the field signature")
	}
	return c, nil
}

// CheckForm verifies a form's claim.
func (v *Verifier) CheckForm(c *Claim, secret string) error {
	var want string
	if c.Scheme == V4 {
		want = hex.EncodeToString(mac(v.key(c.Access, secret, c.scope), c.Policy))
	} else {
		want = base64.StdEncoding.EncodeToString(macV2(secret, []byte(c.Policy)))
	}
	if !hmac.Equal([]byte(want), []byte(c.Signature)) {
		return mismatch()
	}
	return nil
}

// Policy is what a form or link may do.
type Policy struct {
	expires    time.Time
	conditions []condition
	Min, Max   int64 // of the content; Max < 0: no limit
}

type condition struct{ op, field, value string }

func badPolicy(format string, args ...any) error {
	return Refuse("InvalidPolicyDocument", fail.Invalid, format, args...)
}

// ParsePolicy reads a base64 policy document.
func ParsePolicy(encoded string) (*Policy, error) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, badPolicy("the policy is not base64")
	}
	var doc map[string]any // a struct would take EXPIRATION too
	read := func(text string) error {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		return d.Decode(&doc)
	}
	if read(string(raw)) != nil && read(strings.Replace(string(raw), ",]}", "]}", 1)) != nil { // OBS's clients put a comma behind the last condition
		return nil, badPolicy("the policy is no JSON object with expiration and conditions")
	}
	expiration, ok1 := doc["expiration"].(string)
	conditions, ok2 := doc["conditions"].([]any)
	if !ok1 || !ok2 {
		return nil, badPolicy("the policy needs expiration and conditions")
	}
	p := &Policy{Max: -1}
	if p.expires, err = time.Parse(time.RFC3339, expiration); err != nil {
		return nil, badPolicy("the policy's expiration %q is no time like 2030-01-01T00:00:00Z", expiration)
	}
	for _, c := range conditions {
		if err := p.add(c); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (p *Policy) add(c any) error {
	switch c := c.(type) {
	case map[string]any:
		if len(c) != 1 {
			return badPolicy("a condition of the policy has %d fields; one is right", len(c))
		}
		for field, value := range c {
			s, ok := value.(string)
			if !ok {
				return badPolicy("the policy's condition on %q is no string", field)
			}
			p.conditions = append(p.conditions, condition{"eq", strings.ToLower(field), s})
		}
		return nil
	case []any:
		if len(c) != 3 {
			return badPolicy("a condition of the policy is a list of three")
		}
		op, ok := c[0].(string)
		if op = strings.ToLower(op); ok && op == "content-length-range" {
			lo, err := integer(c[1])
			if err != nil {
				return err
			}
			hi, err := integer(c[2])
			if err != nil {
				return err
			}
			p.Min, p.Max = lo, hi
			return nil
		}
		field, ok1 := c[1].(string)
		value, ok2 := c[2].(string)
		field, dollar := strings.CutPrefix(field, "$")
		if !ok || !ok1 || !ok2 || !dollar || op != "eq" && op != "starts-with" {
			return badPolicy("a condition of the policy is [\"eq\" or \"starts-with\", \"$field\", \"value\"]")
		}
		p.conditions = append(p.conditions, condition{op, strings.ToLower(field), value})
		return nil
	}
	return badPolicy("a condition of the policy is an object or a list")
}

func integer(v any) (int64, error) {
	s := ""
	switch v := v.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = v
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 {
		return 0, badPolicy("content-length-range takes two sizes in bytes")
	}
	return n, nil
}

// free are the form's fields that need no condition.
var free = set("policy x-amz-signature signature awsaccesskeyid accesskeyid file bucket")

// Allows tells whether the policy lets the fields through; strict: each field must be named by a condition.
func (p *Policy) Allows(fields map[string]string, now time.Time, strict bool) error {
	if now.After(p.expires) {
		return Refuse("AccessDenied", fail.Denied, "the policy has expired").Then("have a new form made")
	}
	named := map[string]bool{}
	for _, c := range p.conditions {
		named[c.field] = true
		value, ok := fields[c.field]
		fits := ok && value == c.value
		if c.op == "starts-with" {
			fits = strings.HasPrefix(value, c.value)
			if c.field == "content-type" && !fits {
				fits = startsWithEach(value, c.value)
			}
		}
		if !fits {
			return Refuse("AccessDenied", fail.Denied, "the policy's condition on %q does not hold", c.field)
		}
	}
	if !strict {
		return nil
	}
	for field := range fields {
		if !named[field] && !free[field] && !strings.HasPrefix(field, "x-ignore-") && !strings.HasPrefix(field, "callback") && !strings.HasPrefix(field, "x:") {
			return Refuse("AccessDenied", fail.Denied, "the form's field %q is not among the policy's conditions", field)
		}
	}
	return nil
}

func startsWithEach(list, prefix string) bool {
	for v := range strings.SplitSeq(list, ",") {
		if !strings.HasPrefix(strings.TrimSpace(v), prefix) {
			return false
		}
	}
	return true
}
