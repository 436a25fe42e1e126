package sign

import "strings"

// signed tells whether a query parameter is part of version 2's resource. short: as AWS's own clients have it.
func signed(name string, short bool) bool {
	if short {
		return awsSubresources[name]
	}
	return obsSubresources[strings.ToLower(name)] || awsSubresources[name]
}

func set(names string) map[string]bool {
	m := map[string]bool{}
	for name := range strings.FieldsSeq(names) {
		m[name] = true
	}
	return m
}

// obsSubresources are the 59 parameters that OBS's clients sign, in lower case.
var obsSubresources = set(`acl backtosource metadata policy torrent logging location storageinfo quota storageclass
	storagepolicy requestpayment versions versioning versionid uploads uploadid partnumber website notification lifecycle
	deletebucket delete cors restore encryption tagging append modify position replication response-content-type
	response-content-language response-expires response-cache-control response-content-disposition
	response-content-encoding x-image-process x-oss-process x-image-save-bucket x-image-save-object ignore-sign-in-query
	name rename customdomain mirrorbacktosource x-obs-accesslabel object-lock retention x-obs-security-token truncate length
	inventory directcoldaccess attname cdnnotifyconfiguration publicaccessblock bucketstatus policystatus`)

// awsSubresources are the parameters that AWS's clients sign.
var awsSubresources = set(`accelerate acl analytics cors defaultObjectAcl delete inventory lifecycle location logging metrics
	notification object-lock partNumber policy replication requestPayment response-cache-control
	response-content-disposition response-content-encoding response-content-language response-content-type
	response-expires restore select select-type storageClass tagging torrent uploadId uploads versionId versioning versions
	website`)
