package s3

import (
	"encoding/xml"
	"strings"

	"github.com/awancloud/awan/internal/kernel/fail"
	"github.com/awancloud/awan/internal/kernel/id"
	"github.com/awancloud/awan/internal/service/bucket"
)

type notificationXML struct {
	XMLName   xml.Name    `xml:"NotificationConfiguration"`
	Xmlns     string      `xml:"xmlns,attr,omitempty"`
	Topics    []targetXML `xml:"TopicConfiguration"`
	Queues    []targetXML `xml:"QueueConfiguration"`
	Functions []targetXML `xml:"CloudFunctionConfiguration"`
	Graphs    []targetXML `xml:"FunctionGraphConfiguration"` // OBS
}

type targetXML struct {
	ID       string          `xml:"Id"`
	Topic    string          `xml:"Topic,omitempty"`
	Queue    string          `xml:"Queue,omitempty"`
	Function string          `xml:"CloudFunction,omitempty"`
	Graph    string          `xml:"FunctionGraph,omitempty"`
	Events   []string        `xml:"Event"`
	Filter   *eventFilterXML `xml:"Filter"`
}

type eventFilterXML struct {
	S3Key  *filterRulesXML `xml:"S3Key"`
	Object *filterRulesXML `xml:"Object"` // OBS
}

type filterRulesXML struct {
	Rules []filterRuleXML `xml:"FilterRule"`
}

func (f *eventFilterXML) rules() (out []filterRuleXML) {
	if f == nil {
		return nil
	}
	for _, r := range []*filterRulesXML{f.S3Key, f.Object} {
		if r != nil {
			out = append(out, r.Rules...)
		}
	}
	return out
}

type filterRuleXML struct {
	Name  string `xml:"Name"`
	Value string `xml:"Value"`
}

func (x *targetXML) parse(as string) (bucket.Notification, error) {
	n := bucket.Notification{ID: x.ID, As: as, URL: x.Topic + x.Queue + x.Function + x.Graph}
	if n.ID == "" {
		n.ID = string(id.New())
	}
	for _, e := range x.Events {
		n.Events = append(n.Events, strings.TrimPrefix(e, "s3:"))
	}
	for _, f := range x.Filter.rules() {
		switch strings.ToLower(f.Name) {
		case "prefix":
			n.Prefix = f.Value
		case "suffix":
			n.Suffix = f.Value
		default:
			return n, badRule("a filter's name is prefix or suffix")
		}
	}
	return n, nil
}

func writeNotification(r *request) (func(*bucket.Row) error, error) {
	var doc notificationXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	var list []bucket.Notification
	for _, group := range []struct {
		as    string
		items []targetXML
	}{{"topic", doc.Topics}, {"queue", doc.Queues}, {"function", append(doc.Functions, doc.Graphs...)}} {
		for i := range group.items {
			n, err := group.items[i].parse(group.as)
			if err != nil {
				return nil, err
			}
			list = append(list, n)
		}
	}
	return func(row *bucket.Row) error {
		row.Spec.Notifications = bucket.KeepSecrets(row.Spec.Notifications, list)
		return nil
	}, nil
}

func readNotification(r *request, row *bucket.Row) (any, error) {
	out := notificationXML{Xmlns: r.space()}
	for _, n := range row.Spec.Notifications {
		x := targetXML{ID: n.ID}
		for _, e := range n.Events {
			if !r.obs {
				e = "s3:" + e
			}
			x.Events = append(x.Events, e)
		}
		var rules []filterRuleXML
		if n.Prefix != "" {
			rules = append(rules, filterRuleXML{"prefix", n.Prefix})
		}
		if n.Suffix != "" {
			rules = append(rules, filterRuleXML{"suffix", n.Suffix})
		}
		switch {
		case len(rules) == 0:
		case r.obs:
			x.Filter = &eventFilterXML{Object: &filterRulesXML{rules}}
		default:
			x.Filter = &eventFilterXML{S3Key: &filterRulesXML{rules}}
		}
		switch {
		case n.As == "queue":
			x.Queue = n.URL
			out.Queues = append(out.Queues, x)
		case n.As == "function" && r.obs:
			x.Graph = n.URL
			out.Graphs = append(out.Graphs, x)
		case n.As == "function":
			x.Function = n.URL
			out.Functions = append(out.Functions, x)
		default:
			x.Topic = n.URL
			out.Topics = append(out.Topics, x)
		}
	}
	return out, nil
}

type inventoryXML struct {
	XMLName  xml.Name `xml:"InventoryConfiguration"`
	Xmlns    string   `xml:"xmlns,attr,omitempty"`
	ID       string   `xml:"Id"`
	Enabled  bool     `xml:"IsEnabled"`
	Prefix   *string  `xml:"Filter>Prefix"`
	Format   string   `xml:"Destination>S3BucketDestination>Format"`
	Bucket   string   `xml:"Destination>S3BucketDestination>Bucket"`
	To       string   `xml:"Destination>S3BucketDestination>Prefix,omitempty"`
	Every    string   `xml:"Schedule>Frequency"`
	Versions string   `xml:"IncludedObjectVersions"`
	Fields   []string `xml:"OptionalFields>Field"`
}

const arn = "arn:aws:s3:::"

func writeInventory(r *request) (func(*bucket.Row) error, error) {
	var doc inventoryXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	want := r.q.Get("id")
	if want == "" || doc.ID != want {
		return nil, badRule("the configuration's Id and the parameter id must be the same")
	}
	if doc.Format != "CSV" && doc.Format != "" {
		return nil, badRule("inventories are written as CSV")
	}
	v := bucket.Inventory{ID: doc.ID, Disabled: !doc.Enabled, Bucket: strings.TrimPrefix(doc.Bucket, arn), To: doc.To, Weekly: doc.Every == "Weekly",
		Versions: doc.Versions == "All", Fields: doc.Fields}
	if doc.Prefix != nil {
		v.Prefix = *doc.Prefix
	}
	return func(row *bucket.Row) error {
		for i := range row.Spec.Inventory {
			if row.Spec.Inventory[i].ID == v.ID {
				row.Spec.Inventory[i] = v
				return nil
			}
		}
		row.Spec.Inventory = append(row.Spec.Inventory, v)
		return nil
	}, nil
}

func (r *request) inventoryXML(v *bucket.Inventory, root bool) inventoryXML {
	x := inventoryXML{ID: v.ID, Enabled: !v.Disabled, Format: "CSV", Bucket: arn + v.Bucket, To: v.To, Every: "Daily", Versions: "Current", Fields: v.Fields}
	if root {
		x.Xmlns = r.space()
	}
	if v.Prefix != "" {
		x.Prefix = &v.Prefix
	}
	if v.Weekly {
		x.Every = "Weekly"
	}
	if v.Versions {
		x.Versions = "All"
	}
	return x
}

func noInventory() error {
	return missing("NoSuchConfiguration", "the specified configuration does not exist")
}

func readInventory(r *request, row *bucket.Row) (any, error) {
	list := row.Spec.Inventory
	if want, ok := r.q["id"]; ok {
		for i := range list {
			if list[i].ID == want[0] {
				return r.inventoryXML(&list[i], true), nil
			}
		}
		return nil, noInventory()
	}
	out := struct {
		XMLName   xml.Name       `xml:"ListInventoryConfigurationsResult"`
		Xmlns     string         `xml:"xmlns,attr"`
		Items     []inventoryXML `xml:"InventoryConfiguration"`
		Truncated bool           `xml:"IsTruncated"`
	}{Xmlns: r.space()}
	for i := range list {
		out.Items = append(out.Items, r.inventoryXML(&list[i], false))
	}
	return out, nil
}

func clearInventory(r *request, row *bucket.Row) error {
	for i, v := range row.Spec.Inventory {
		if v.ID == r.q.Get("id") {
			row.Spec.Inventory = append(row.Spec.Inventory[:i:i], row.Spec.Inventory[i+1:]...)
			return nil
		}
	}
	return noInventory()
}

type replicationXML struct {
	XMLName xml.Name           `xml:"ReplicationConfiguration"`
	Xmlns   string             `xml:"xmlns,attr,omitempty"`
	Role    string             `xml:"Role,omitempty"`
	Agency  string             `xml:"Agency,omitempty"` // OBS
	Rules   []replicateRuleXML `xml:"Rule"`
}

type replicateRuleXML struct {
	ID       string            `xml:"ID,omitempty"`
	Priority *int              `xml:"Priority"`
	Prefix   *string           `xml:"Prefix"`
	Filter   *filterXML        `xml:"Filter"`
	Status   string            `xml:"Status"`
	To       replicateToXML    `xml:"Destination"`
	Markers  *deleteMarkersXML `xml:"DeleteMarkerReplication"`
}

type replicateToXML struct {
	Bucket  string `xml:"Bucket"`
	Class   string `xml:"StorageClass,omitempty"`
	Deletes string `xml:"DeleteData,omitempty"` // OBS
}

type deleteMarkersXML struct {
	Status string `xml:"Status"`
}

func writeReplication(r *request) (func(*bucket.Row) error, error) {
	var doc replicationXML
	if err := r.read(&doc); err != nil {
		return nil, err
	}
	if len(doc.Rules) == 0 {
		return nil, malformedXML("a replication configuration has at least one rule")
	}
	var list []bucket.Replication
	for _, x := range doc.Rules {
		v := bucket.Replication{ID: x.ID, Disabled: x.Status == "Disabled", Bucket: strings.TrimPrefix(x.To.Bucket, arn), Agency: doc.Role + doc.Agency,
			Deletes: x.To.Deletes == "Enabled" || x.Markers != nil && x.Markers.Status == "Enabled"}
		if v.ID == "" {
			v.ID = string(id.New())
		}
		if x.Status != "Enabled" && x.Status != "Disabled" {
			return nil, malformedXML("a rule's Status is Enabled or Disabled")
		}
		if x.Priority != nil {
			v.Priority = *x.Priority
		}
		switch {
		case x.Filter != nil && (x.Filter.Tag != nil || x.Filter.And != nil):
			return nil, refuse("NotImplemented", fail.Unsupported, "replication by tags is not there; use a prefix")
		case x.Filter != nil && x.Filter.Prefix != nil:
			v.Prefix = *x.Filter.Prefix
		case x.Prefix != nil:
			v.Prefix = *x.Prefix
		}
		var err error
		if v.Class, err = classOf(x.To.Class); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return func(row *bucket.Row) error {
		if row.Spec.Versioning != "enabled" && !r.obs {
			return refuse("InvalidRequest", fail.Invalid, "versioning must be 'Enabled' on the bucket to apply a replication configuration")
		}
		row.Spec.Replication = bucket.KeepEndpoints(row.Spec.Replication, list)
		return nil
	}, nil
}

func readReplication(r *request, row *bucket.Row) (any, error) {
	list := row.Spec.Replication
	if len(list) == 0 {
		return nil, missing("ReplicationConfigurationNotFoundError", "the replication configuration was not found")
	}
	out := replicationXML{Xmlns: r.space()}
	for i := range list {
		v := &list[i]
		x := replicateRuleXML{ID: v.ID, Status: "Enabled", Prefix: &v.Prefix, To: replicateToXML{Bucket: arn + v.Bucket}}
		if v.Disabled {
			x.Status = "Disabled"
		}
		if v.Class != "" {
			x.To.Class = r.className(v.Class)
		}
		if r.obs {
			x.To.Bucket, out.Agency = v.Bucket, v.Agency
			if v.Deletes {
				x.To.Deletes = "Enabled"
			}
		} else {
			out.Role = v.Agency
			if v.Priority > 0 || v.Deletes { // the form with a filter
				x.Priority, x.Prefix, x.Filter = &v.Priority, nil, &filterXML{Prefix: &v.Prefix}
				x.Markers = &deleteMarkersXML{"Disabled"}
				if v.Deletes {
					x.Markers.Status = "Enabled"
				}
			}
		}
		out.Rules = append(out.Rules, x)
	}
	return out, nil
}
