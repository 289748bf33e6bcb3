-- Argo CD's health of an LsmNode, the report of one node's probe. Reports are not in git: Argo CD
-- shows them where a person looks at the cluster's objects, or where an Application has one.
local status = obj.status
if status == nil or status.evidence == nil then
  return { status = "Progressing", message = "the probe has not reported yet" }
end
local message = (status.reason or "") .. ": " .. (status.message or "")
if status.evidence == "Denied" then
  return { status = "Healthy", message = message }
end
return { status = "Degraded", message = message }
