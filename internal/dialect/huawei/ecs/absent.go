package ecs

import (
	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/kernel/call"
)

// absentRoutes answer what Huawei's API has and this cloud has not: clients read why.
func (a *API) absentRoutes() []route {
	k := a.Compute.Server.D
	var out []route
	add := func(method, path, verb, why, next string) {
		out = append(out, route{Method: method, Path: path, Kind: k, Verb: verb, Do: rest.NotOffered(k, verb, why, next)})
	}
	const oneMachine = "the servers of this cloud stand on one machine"
	add("POST", one+"/migrate", call.Update, oneMachine, "there is nowhere to migrate to")
	add("POST", one+"/actions/redeploy", call.Update, oneMachine, "reboot it instead")
	add("POST", one+"/actions/trigger-crash-dump", call.Update, "kernels' dumps are not taken", "use the serial console: awan console")
	add("POST", one+"/changevpc", call.Update, "a card stays in its subnet", "add a card in the other VPC and remove this one: POST …/nics, …/nics/delete")
	add("POST", one+"/os-interface/{port_id}/change-network-interface", call.Update, "a card stays in its subnet", "add another card and remove this one: POST …/nics, …/nics/delete")
	add("PUT", one+"/os-interface/{port_id}", call.Update, "a card's port is not changed through its server", "PUT /v1/{project_id}/ports/{port_id}")
	add("PUT", all+"/nics/{nic_id}", call.Update, "virtual addresses belong to ports", "PUT /v1/{project_id}/ports/{port_id} with allowed_address_pairs")
	add("POST", all+"/batch-resize", call.Update, "servers are resized one by one", "POST …/cloudservers/{server_id}/resize")
	add("POST", all+"/actions/change-charge-mode", call.Update, "this cloud charges by use; there are no orders", "leave it as it is")
	add("POST", one+"/actions/update-auto-terminate-time", call.Update, "servers are not deleted by the clock here", "delete it when it is no longer needed")
	add("DELETE", one+"/os-server-password", call.Update, "passwords of Windows servers are not kept", "there is nothing to delete")
	add("GET", one+"/metadata-options", call.Get, "the metadata service has no options", "it answers at 169.254.169.254")
	add("PUT", one+"/metadata-options", call.Update, "the metadata service has no options", "it answers at 169.254.169.254")
	add("PUT", one+"/serial-console-options", call.Update, "the serial console is always on", "awan console")
	add("POST", one+"/actions/serial-console", call.Get, "the serial console is joined by the cloud's own API", "awan console")
	for _, p := range []string{"attachvolumes", "detachvolumes"} {
		add("POST", "/v1/{project_id}/batchaction/"+p+"/{volume_id}", call.Update, "disks are attached to one server after the other", "POST …/cloudservers/{server_id}/attachvolume")
	}
	const bin = "deleted servers are not kept"
	add("GET", "/v1/{project_id}/recycle-bin", call.List, bin, "make an image before")
	add("PUT", "/v1/{project_id}/recycle-bin", call.Update, bin, "make an image before")
	add("PUT", "/v1/{project_id}/recycle-bin/policy", call.Update, bin, "make an image before")
	add("GET", "/v1/{project_id}/recycle-bin/cloudservers", call.List, bin, "make an image before")
	add("DELETE", "/v1/{project_id}/recycle-bin/cloudservers/{server_id}", call.Delete, bin, "make an image before")
	add("POST", "/v1/{project_id}/recycle-bin/cloudservers/{server_id}/actions/revert", call.Update, bin, "make an image before")
	const events = "there are no scheduled events: nobody maintains the machine under running servers"
	add("GET", "/v3/{project_id}/instance-scheduled-events", call.List, events, "see awan server events")
	add("PUT", "/v3/{project_id}/instance-scheduled-events/{id}", call.Update, events, "see awan server events")
	add("POST", "/v3/{project_id}/instance-scheduled-events/{id}/actions/accept", call.Update, events, "see awan server events")
	const templates = "launch templates are not kept"
	add("GET", "/v3/{project_id}/launch-templates", call.List, templates, "keep them in Terraform")
	add("POST", "/v3/{project_id}/launch-templates", call.Create, templates, "keep them in Terraform")
	add("DELETE", "/v3/{project_id}/launch-templates/{launch_template_id}", call.Delete, templates, "keep them in Terraform")
	add("GET", "/v3/{project_id}/launch-template-versions", call.List, templates, "keep them in Terraform")
	return out
}
