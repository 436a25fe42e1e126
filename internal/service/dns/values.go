package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/awancloud/awan/internal/kernel/fail"
)

// checkValues refuses data that does not fit the type.
func checkValues(r *recordRow) error {
	if len(r.Spec.Values) == 0 {
		return fail.Field("spec.values", "is required").Then("for example %s", example(r.Spec.Type))
	}
	if r.Spec.Type == "CNAME" && len(r.Spec.Values) > 1 {
		return fail.Field("spec.values", "an alias has one target").Then("use A or AAAA records for several addresses")
	}
	for i, v := range r.Spec.Values {
		field := fmt.Sprintf("spec.values[%d]", i)
		if slices.Contains(r.Spec.Values[:i], v) {
			return fail.Field(field, "%s is there twice", v)
		}
		if why := wrong(r.Spec.Type, v); why != "" {
			return fail.Field(field, "%q %s", v, why).Then("for example %s", example(r.Spec.Type))
		}
		if _, err := parse(r.Name, r.Spec.TTL, r.Spec.Type, v); err != nil {
			return fail.Field(field, "%q is no %s record", v, r.Spec.Type).Then("for example %s", example(r.Spec.Type)).Because(err)
		}
	}
	return nil
}

func example(typ string) string {
	return map[string]string{"A": "192.0.2.1", "AAAA": "2001:db8::1", "CNAME": "www.example.com.", "MX": "10 mail.example.com.",
		"TXT": `"v=spf1 -all"`, "NS": "ns1.example.com.", "SRV": "10 5 5060 sip.example.com.", "CAA": `0 issue "letsencrypt.org"`, "PTR": "host.example.com."}[typ]
}

// wrong tells what is wrong with data of a type; "" when nothing is.
func wrong(typ, v string) string {
	if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "has a control character"
	}
	fields := strings.Fields(v)
	switch typ {
	case "A":
		if a, err := netip.ParseAddr(v); err != nil || !a.Is4() {
			return "is no IPv4 address"
		}
	case "AAAA":
		if a, err := netip.ParseAddr(v); err != nil || !a.Is6() || a.Is4In6() || a.Zone() != "" {
			return "is no IPv6 address"
		}
	case "CNAME", "NS", "PTR":
		return wrongTarget(v)
	case "MX":
		if len(fields) != 2 || !number(fields[0], 65535) {
			return "is not a preference from 0 to 65535 and a name"
		}
		return wrongTarget(fields[1])
	case "SRV":
		if len(fields) != 4 || !number(fields[0], 65535) || !number(fields[1], 65535) || !number(fields[2], 65535) {
			return "is not priority, weight, port and a name"
		}
		return wrongTarget(fields[3])
	case "CAA":
		if len(fields) < 3 || fields[0] != "0" && fields[0] != "128" {
			return "is not a flag (0 or 128), a tag and a quoted value"
		}
		if !slices.Contains([]string{"issue", "issuewild", "iodef"}, fields[1]) {
			return "has a tag other than issue, issuewild and iodef"
		}
		if !quoted(strings.TrimSpace(v[strings.Index(v, fields[1])+len(fields[1]):])) {
			return "has a value without quotes"
		}
	case "TXT":
		if strings.HasPrefix(v, `"`) && !quoted(v) {
			return "begins with a quote and does not end with one"
		}
		if len(v) > 4096 {
			return "is longer than 4096 characters"
		}
	}
	return ""
}

func wrongTarget(v string) string {
	if v == "." {
		return ""
	}
	if _, err := netip.ParseAddr(v); err == nil {
		return "is an address, where a name is wanted"
	}
	if err := checkName("", canonical(v)); err != nil {
		return "is no name: " + fail.From(err).Message
	}
	return ""
}

func number(s string, most int) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 0 && n <= most
}

func quoted(s string) bool {
	return len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' && !strings.HasSuffix(s, `\"`)
}

// parse makes a record. Text without quotes is one string; names need no final dot.
func parse(name string, ttl int, typ, v string) (dns.RR, error) {
	if typ == "TXT" && !strings.HasPrefix(v, `"`) {
		v = quote(v)
	}
	zp := dns.NewZoneParser(strings.NewReader(fmt.Sprintf("%s %d IN %s %s\n", fqdn(name), ttl, typ, v)), ".", "")
	rr, ok := zp.Next()
	if err := zp.Err(); err != nil {
		return nil, err
	}
	if !ok || dns.TypeToString[rr.Header().Rrtype] != typ {
		return nil, fail.New(fail.Invalid, "no %s record", typ)
	}
	return rr, nil
}

func quote(v string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
}
