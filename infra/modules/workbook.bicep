// The workbook: one page over the workspace. Its content is infra/data/workbook.json, where __WORKSPACE__ stands for it.

param location string
param tags object
param workspaceId string

var content = loadTextContent('../data/workbook.json')

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  // A workbook's name must be a GUID.
  name: guid(resourceGroup().id, 'retention-workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Retention pipeline'
    category: 'workbook'
    sourceId: workspaceId
    version: 'Notebook/1.0'
    serializedData: replace(content, '__WORKSPACE__', workspaceId)
  }
}
