package ecs

import (
	"net/http"
	"strings"

	"github.com/awancloud/awan/internal/dialect/huawei/rest"
	"github.com/awancloud/awan/internal/kernel/fail"
)

// Code gives the codes of https://support.huaweicloud.com/intl/en-us/api-ecs/ecs_07_0002.html.
func Code(e *fail.Error) (int, string) {
	switch e.Kind {
	case fail.Unauthenticated:
		return http.StatusUnauthorized, "APIGW.0301" // the gateway's, as there
	case fail.Denied:
		return http.StatusForbidden, "Ecs.0003"
	case fail.NotFound, fail.Gone:
		return http.StatusNotFound, "Ecs.0114"
	case fail.Quota:
		return http.StatusForbidden, "Ecs.0001"
	case fail.NoSpace:
		return http.StatusServiceUnavailable, "Ecs.0319" // no room for servers of this flavour
	case fail.Invalid:
		switch {
		case strings.Contains(e.Field, "flavor"):
			return http.StatusBadRequest, "Ecs.0707"
		case strings.Contains(e.Field, "assword"):
			return http.StatusBadRequest, "Ecs.0011"
		}
		return http.StatusBadRequest, "Ecs.0005"
	case fail.Unsupported:
		return http.StatusBadRequest, "Ecs.0000"
	case fail.Precondition:
		return http.StatusBadRequest, "Ecs.0219"
	}
	if s := rest.Status(e.Kind); s < 500 {
		return s, "Ecs.0000"
	}
	return rest.Status(e.Kind), "Ecs.0002"
}

// words are our fields' names in this API.
func words() *strings.Replacer {
	return strings.NewReplacer("spec.flavor", "server.flavorRef", "spec.image", "server.imageRef", "spec.root", "server.root_volume", "spec.volumes", "server.data_volumes",
		"spec.networks", "server.nics", "spec.groups", "server.security_groups", "spec.public_ip", "server.publicip", "spec.key_pair", "server.key_name",
		"spec.password", "server.adminPass", "spec.zone", "server.availability_zone", "spec.group", "server.os:scheduler_hints.group", "spec.", "server.", "name", "name")
}
