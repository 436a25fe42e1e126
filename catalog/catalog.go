// Package catalog holds what is data in Awan: base images, stacks' build recipes, starters of apps, aliases of well-known
// images, default quotas, flavours of servers. It imports the standard library only; who reads a folder says how in its own package.
package catalog

import (
	"embed"
	"io/fs"
)

//go:embed bases stacks all:templates all:machines aliases.yaml *.json
var files embed.FS

// Files is the catalogue as it was built in.
func Files() fs.FS { return files }
