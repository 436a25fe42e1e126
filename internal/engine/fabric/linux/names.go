package linux

import "github.com/awancloud/awan/internal/kernel/id"

// All names on the machine begin with the cloud's key. "aw-" cannot begin a name of the network of apps, whose keys have
// no hyphen, and its rules let interfaces that begin with "aw" be.
const prefix = "aw-"

func (e *Engine) vpcSpace(vpc id.ID) string { return prefix + e.key + "-" + string(vpc) }
func (e *Engine) edgeSpace() string         { return prefix + e.key + "-edge" }
func (e *Engine) hostCable() string         { return prefix + e.key }
func (e *Engine) hostTable() string         { return "awan-net-" + e.key }

// tail is enough of an id for the name of an interface: its random part.
func tail(name id.ID) string {
	if len(name) > 14 {
		return string(name[len(name)-14:])
	}
	return string(name)
}

func tapName(port id.ID) string { return "p" + tail(port) }
func peerName(vpc id.ID) string { return "x" + tail(vpc) }
func linkName(vpc id.ID) string { return "v" + tail(vpc) }

const (
	outName  = "up"   // in a VPC: the cable to the edge
	rootName = "root" // in the edge: the cable to the machine
	table    = "awan"
)
