package console

import (
	"fmt"
	"html/template"

	"github.com/awancloud/awan/internal/kernel/kind"
)

// icons are drawn here, 24 units square, in the text's colour.
var icons = map[string]string{
	"home":     `<path d="M4 11.5 12 5l8 6.5V19a1 1 0 0 1-1 1h-4v-5H9v5H5a1 1 0 0 1-1-1z"/>`,
	"app":      `<path d="M12 3 20 7.5v9L12 21l-8-4.5v-9z"/><path d="M4 7.5 12 12l8-4.5M12 12v9"/>`,
	"user":     `<circle cx="12" cy="8" r="3.5"/><path d="M5 20c.6-4 3.4-6 7-6s6.4 2 7 6"/>`,
	"group":    `<circle cx="9" cy="8.5" r="3"/><path d="M3.5 19c.5-3.500 2.600-5 5.500-5s5 1.500 5.500 5M15.500 5.800a3 3 0 0 1 0 5.500M17 14.300c2 .6 3.200 2 3.500 4.700"/>`,
	"key":      `<circle cx="8" cy="15" r="4"/><path d="m11 12 8-8M16 7l2.500 2.500"/>`,
	"policy":   `<path d="M12 3.500 19 6v5.500c0 4.500-3 7.500-7 9-4-1.500-7-4.500-7-9V6z"/><path d="m9 11.800 2.200 2.200 4-4.200"/>`,
	"folder":   `<path d="M4 7a1 1 0 0 1 1-1h4.500l2 2H19a1 1 0 0 1 1 1v8.500a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1z"/>`,
	"domain":   `<circle cx="12" cy="12" r="8"/><path d="M4 12h16M12 4c2.500 2.300 3.500 5 3.500 8s-1 5.700-3.500 8c-2.500-2.300-3.500-5-3.500-8s1-5.700 3.500-8"/>`,
	"audit":    `<path d="M7 4h10a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H7a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM9 8.500h6M9 12h6M9 15.500h3.500"/>`,
	"quota":    `<path d="M4.500 17.500a8 8 0 1 1 15 0M12 14l3.500-4.500"/><circle cx="12" cy="14.500" r="1"/>`,
	"usage":    `<path d="M4 20h16M6.500 16.500v-4M11 16.500V6M15.500 16.500V9.500M20 16.500v-3"/>`,
	"trash":    `<path d="M5 7h14M10 7V4.500h4V7M7 7l.8 12a1 1 0 0 0 1 1h6.400a1 1 0 0 0 1-1L17 7M10.500 11v5M13.500 11v5"/>`,
	"release":  `<path d="m4 12 8 4.500L20 12M4 16l8 4.500L20 16M12 3.500 4 8l8 4.500L20 8z"/>`,
	"box":      `<rect x="4.500" y="4.500" width="15" height="15" rx="2"/><path d="M4.500 10h15"/>`,
	"bucket":   `<path d="M5 7.500c0-1.700 3.100-3 7-3s7 1.300 7 3-3.100 3-7 3-7-1.300-7-3zM5 7.500 6.700 18c.3 1.200 2.500 2 5.300 2s5-.8 5.300-2L19 7.500"/>`,
	"file":     `<path d="M7 3.500h6.500L18 8v12a.5.5 0 0 1-.5.5h-11A.5.5 0 0 1 6 20V4.500a1 1 0 0 1 1-1zM13 3.500V8.500h5"/>`,
	"upload":   `<path d="M12 15.500V4.500M7.500 9 12 4.500 16.500 9M4.500 16v3a1 1 0 0 0 1 1h13a1 1 0 0 0 1-1v-3"/>`,
	"download": `<path d="M12 4.500v11M7.500 11l4.500 4.500 4.500-4.500M4.500 16v3a1 1 0 0 0 1 1h13a1 1 0 0 0 1-1v-3"/>`,
	"menu":     `<path d="M4 7h16M4 12h16M4 17h16"/>`,
	"search":   `<circle cx="10.500" cy="10.500" r="5.500"/><path d="m15 15 5 5"/>`,
	"plus":     `<path d="M12 5v14M5 12h14"/>`,
	"link":     `<path d="M14 5h5v5M19 5l-8 8M17 14v4a1 1 0 0 1-1 1H6a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1h4"/>`,
	"theme":    `<circle cx="12" cy="12" r="7.500"/><path d="M12 4.500v15a7.500 7.500 0 0 0 0-15z" fill="currentColor"/>`,
	"chevron":  `<path d="m7 10 5 5 5-5"/>`,
	"terminal": `<rect x="3.500" y="5" width="17" height="14" rx="2"/><path d="m7 10 2.500 2L7 14M12 15h4"/>`,
	"play":     `<path d="M8 5.500v13l10.500-6.500z"/>`,
	"stop":     `<rect x="6.500" y="6.500" width="11" height="11" rx="1"/>`,
	"restart":  `<path d="M19 12a7 7 0 1 1-2.200-5.100L19 9M19 4.500V9h-4.500"/>`,
	"copy":     `<rect x="8.500" y="8.500" width="11" height="11" rx="1.500"/><path d="M15.500 8.500v-3a1 1 0 0 0-1-1h-9a1 1 0 0 0-1 1v9a1 1 0 0 0 1 1h3"/>`,
	"server":   `<rect x="4" y="4.500" width="16" height="6.500" rx="1.500"/><rect x="4" y="13" width="16" height="6.500" rx="1.500"/><path d="M7.500 7.800h.5M7.500 16.300h.5M12 7.800h5M12 16.300h5"/>`,
	"disk":     `<rect x="4.500" y="3.500" width="15" height="17" rx="2"/><circle cx="12" cy="10" r="3.500"/><path d="M8 17h.5M12 17h4"/>`,
	"network":  `<circle cx="12" cy="5.500" r="2.200"/><circle cx="5.500" cy="18.500" r="2.200"/><circle cx="18.500" cy="18.500" r="2.200"/><path d="M12 7.700v4.800M12 12.500 6.700 16.700M12 12.500l5.300 4.200"/>`,
	"warn":     `<path d="M12 4.500 21 19.500H3zM12 10v4.500M12 17v.5"/>`,
}

// icon draws an icon that says nothing by itself: words stand beside it.
func icon(name string) (template.HTML, error) {
	body, ok := icons[name]
	if !ok {
		return "", fmt.Errorf("no icon %s", name)
	}
	return template.HTML(`<svg class="icon" viewBox="0 0 24 24" width="18" height="18" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">` + body + `</svg>`), nil
}

var kindIcons = map[string]string{
	"app/component": "app", "app/application": "folder", "app/environment": "domain", "app/release": "release", "identity/user": "user", "identity/group": "group",
	"identity/policy": "policy", "identity/grant": "policy", "identity/access-key": "key", "identity/project": "folder", "identity/domain": "domain",
	"bucket/bucket": "bucket", "keypair/keypair": "key", "keypair/key-pair": "key",
	"compute/server": "server", "volume/volume": "disk", "volume/snapshot": "disk", "image/image": "release", "image/public-image": "release", "network/vpc": "network", "network/subnet": "network", "network/security-group": "policy",
}

func iconOf(k *kind.Def) string {
	if i, ok := kindIcons[k.FullName()]; ok {
		return i
	}
	return "box"
}
