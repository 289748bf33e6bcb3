-- The health of an Application inside another one, which Argo CD leaves out by default. With it,
-- sync waves wait until the Applications of the wave before are healthy.
local health = obj.status ~= nil and obj.status.health or nil
if health == nil or health.status == nil then
  return { status = "Progressing", message = "the Application has no health yet" }
end
return { status = health.status, message = health.message or "" }
